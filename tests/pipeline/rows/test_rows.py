"""Rows of whole jobs: bad ones, ones with settings of their own, and where their text ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config.job import JobConfig
from pipeline.errors import TooManyErrors
from pipeline.run import run
from pipeline.text.detokenization import Detokenizer
from pipeline.text.tokenization import Tokenizer
from tests.published import generations
from tests.random_prompts import random_prompts

pytestmark = pytest.mark.usefixtures("local_ray")

MakeConfig = Callable[..., JobConfig]
BAD_ROWS: dict[str, str] = {
    '{"text": "broken': "MALFORMED_JSON",
    "": "EMPTY_LINE",
    "[1, 2]": "NOT_AN_OBJECT",
    '{"text": null}': "NULL_PROMPT",
    '{"text": "  "}': "EMPTY_PROMPT",
    '{"text": 5}': "WRONG_TYPE",
    '{"other": "x"}': "MISSING_COLUMN",
    json.dumps({"text": "word " * 300}): "PROMPT_TOO_LONG",
    '{"text": "x", "temperature": -1}': "BAD_PARAMETER",
    '{"text": "x", "length": "9"}': "BAD_PARAMETER",
}


def test_bad_rows_become_error_rows_and_cost_only_themselves(make_config: MakeConfig) -> None:
    good = {"text": "Hello there", "keep me": "ü"}
    config = make_config(
        [good, *BAD_ROWS, good],
        prompt={"column": "text"},
        input={"keep": ["keep me"]},
        generation={
            "max_new_tokens": 3,
            "columns": {"temperature": "temperature", "max_new_tokens": "length"},
        },
    )
    with pytest.raises(TooManyErrors) as raised:
        run(config)
    said = str(raised.value)
    assert "10 of 12 rows are errors (2 BAD_PARAMETER, 1 EMPTY_LINE, 1 EMPTY_PROMPT" in said
    assert "more than errors.max_error_rate (5.00%) allows" in said
    assert "raise errors.max_error_rate and run the same command again" in said
    table = generations(config)
    assert list(table["row"]) == list(range(len(BAD_ROWS) + 2))
    assert list(table["error_code"][1:-1]) == list(BAD_ROWS.values())
    assert (table["status"][1:-1] == "error").all()
    assert table["error_message"][1:-1].str.len().gt(10).all()
    assert list(table["status"].iloc[[0, -1]]) == ["ok", "ok"]
    assert list(table["token_ids"].iloc[0]) == list(table["token_ids"].iloc[-1])
    assert table["keep me"].iloc[0] == "ü"
    assert not (Path(config.output.path) / "_SUCCESS").exists()
    assert json.loads((Path(config.output.path) / "report.json").read_text())["error_rate"] > 0.5


def test_rows_override_the_jobs_generation(make_config: MakeConfig, checkpoint: Any) -> None:
    ids = random_prompts(3)[2]
    full = checkpoint.generate(ids, 12)
    text = text_of(full, checkpoint)
    stop = text[4:7]
    rows = {
        "plain": {},
        "unset": {"max_new_tokens": None, "stop": None},
        "short": {"max_new_tokens": 3},
        "sampled": {"temperature": 1.5, "seed": 4},
        "sampled too": {"temperature": 1.5, "seed": 4},
        "named by whole floats": {"max_new_tokens": 5.0, "seed": 4.0},
        "not named": {"ignore_eos": 7, "top_p": -1},
        "logprobs": {"logprobs": True},
        "stopped": {"stop": [stop]},
        "beyond 64 bits": {"seed": 10**25},
        "beyond 32 bits": {"top_k": 2**32},
    }
    config = make_config(
        [{"ids": ids, "name": name, **parameters} for name, parameters in rows.items()],
        input={"keep": ["name"]},
        generation={
            "max_new_tokens": 12,
            "columns": ["max_new_tokens", "temperature", "seed", "logprobs", "stop", "top_k"],
        },
        errors={"max_error_rate": 1.0},
    )
    run(config)
    table = generations(config).set_index("name")
    tokens = table["token_ids"].map(lambda of_row: None if of_row is None else list(of_row))
    assert tokens["plain"] == tokens["unset"] == tokens["logprobs"] == tokens["not named"] == full
    assert tokens["named by whole floats"] == full[:5]
    assert tokens["short"] == full[:3]
    assert tokens["sampled"] != full
    assert tokens["sampled too"] != tokens["sampled"], "a row's own place is in its random stream"
    assert len(table["token_logprobs"]["logprobs"]) == 12
    assert table["token_logprobs"]["plain"] is None
    assert table["text"]["plain"] == text
    assert table["text"]["stopped"] == text[: text.index(stop)]
    assert table["finish_reason"]["stopped"] == "stop"
    assert table["generated_tokens"]["stopped"] < 12
    assert list(table["error_code"][-2:]) == ["BAD_PARAMETER"] * 2
    assert table["error_code"][:-2].isna().all()


def text_of(token_ids: list[int], checkpoint: Any) -> str:
    text = Detokenizer(Tokenizer.load(checkpoint.folder))
    for token in token_ids:
        text.add(token)
    return text.finish()
