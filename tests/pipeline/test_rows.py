"""Rows of whole jobs: bad ones, ones with settings of their own, and where their text ends."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.config import JobConfig
from pipeline.errors import TooManyErrors
from pipeline.run import run
from tests.published import generations
from tests.random_prompts import random_prompts

pytestmark = pytest.mark.usefixtures("local_ray")

MakeConfig = Callable[..., JobConfig]
EXPERTS, LAYERS = 4, 3


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
    '{"text": "x", "max_new_tokens": "9"}': "BAD_PARAMETER",
}


def test_bad_rows_become_error_rows_and_cost_only_themselves(make_config: MakeConfig) -> None:
    good = {"text": "Hello there", "keep me": "ü"}
    config = make_config(
        [good, *BAD_ROWS, good],
        prompt={"column": "text"},
        input={"keep": ["keep me"]},
        generation={"max_new_tokens": 3},
    )
    with pytest.raises(TooManyErrors, match="max_error_rate"):
        run(config)
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
    ids = random_prompts(1)[0] + [77]
    full = checkpoint.generate(ids, 12)
    rows = [
        {"ids": ids},
        {"ids": ids, "max_new_tokens": 3},
        {"ids": ids, "temperature": 1.5, "seed": 4},
        {"ids": ids, "max_new_tokens": None, "stop": None},
    ]
    config = make_config(rows, generation={"max_new_tokens": 12})
    run(config)
    tokens = [list(row) for row in generations(config)["token_ids"]]
    assert tokens[0] == tokens[3] == full
    assert tokens[1] == full[:3]
    assert tokens[2] != full


def test_stop_strings_cut_text_and_ids(make_config: MakeConfig, checkpoint: Any) -> None:
    row = {"ids": random_prompts(3)[2]}
    plain = make_config([row], generation={"max_new_tokens": 12})
    run(plain)
    text = generations(plain)["text"][0]
    stop = text[4:7]
    stopped = make_config(
        [row],
        generation={"max_new_tokens": 12, "stop": [stop]},
        output={"path": plain.output.path + "-2", "include": ["token_ids"]},
    )
    run(stopped)
    result = generations(stopped).iloc[0]
    assert result["text"] == text[: text.index(stop)]
    assert result["finish_reason"] == "stop"
    assert result["generated_tokens"] < 12


def test_numbers_beyond_64_bits_are_errors_of_their_row(make_config: MakeConfig) -> None:
    rows = [
        {"ids": [5]},
        '{"ids": [5], "seed": 10000000000000000000000000}',
        '{"ids": [5], "top_k": 4294967296}',
    ]
    config = make_config(rows, generation={"max_new_tokens": 1}, errors={"max_error_rate": 1.0})
    run(config)
    assert list(generations(config)["error_code"].fillna("")) == ["", "BAD_PARAMETER", "BAD_PARAMETER"]


def test_a_row_may_ask_for_logprobs_that_its_job_does_not(make_config: MakeConfig) -> None:
    rows = [{"ids": [5, 6]}, {"ids": [5, 6], "logprobs": True}]
    config = make_config(rows, generation={"max_new_tokens": 2, "ignore_eos": True})
    run(config)
    logprobs = generations(config)["token_logprobs"]
    assert logprobs[0] is None
    assert len(logprobs[1]) == 2
