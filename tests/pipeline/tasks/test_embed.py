"""Task embed: transformers' hidden states, pooled; what stands at a prompt's end; the type of the column."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
import yaml

from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.tasks.embed import Embed, EmbedSection
from tests.pipeline.tasks.without_ray import finished_rows
from tests.sources import ROOT

ROWS = [{"text": "How do I cook rice?"}, {"text": "Reis"}, {"text": "x " * 200}, {"text": "日本 語"}]


def states(model: Any, ids: list[int]) -> torch.Tensor:
    """[T, D] after the final norm."""
    with torch.inference_mode():
        return getattr(model, "model", model)(torch.tensor([ids])).last_hidden_state[0].double()


@pytest.mark.parametrize(("suffix", "pooling"), [("Model", "last"), ("ForCausalLM", "mean")])
def test_vectors_are_transformers_hidden_states(
    suffix: str, pooling: str, headed: Callable[..., Any], job_of: Callable[..., Any]
) -> None:
    checkpoint = headed(suffix)
    for normalize in (True, False):
        section = {"pooling": pooling, "normalize": normalize}
        table = finished_rows(job_of("embed", checkpoint, ROWS, embed=section))
        assert table.schema.field("embedding").type == pa.list_(pa.float32(), 32)
        assert table["status"].to_pylist() == ["ok", "ok", "error", "ok"]
        for ids, vector in zip(
            table["prompt_token_ids"].to_pylist(), table["embedding"].to_pylist(), strict=True
        ):
            if vector is None:
                continue
            of_row = states(checkpoint.model, ids)
            wanted = of_row.mean(0) if pooling == "mean" else of_row[-1]
            wanted = wanted / wanted.norm() if normalize else wanted
            np.testing.assert_allclose(vector, wanted, atol=1e-4)


def test_the_end_of_the_sequence_stands_behind_prompts_where_the_job_or_the_tokenizer_says_so(
    headed: Callable[..., Any], job_of: Callable[..., Any]
) -> None:
    checkpoint = headed("Model")
    rows = ROWS[:1]

    def ids(**sections: Any) -> list[int]:
        [found] = finished_rows(job_of("embed", checkpoint, rows, **sections))["prompt_token_ids"].to_pylist()
        return list(found)

    plain = ids()
    assert plain[-1] != 2
    assert ids(embed={"append_eos": True}) == [*plain, 2]
    template = {"prompt": {"template": "{{ text }}</s>"}}
    assert ids(embed={"append_eos": True}, input=template) == [*plain, 2], "not a second one"
    checkpoint.settings(add_eos_token=True)
    try:
        assert ids() == [*plain, 2]
        with pytest.raises(ConfigError, match="says add_eos_token: true, which would end every plain prompt"):
            check_job(job_of("generate", checkpoint, rows))
    finally:
        checkpoint.settings()


def test_token_ids_stay_as_they_are_unless_the_job_closes_them(
    headed: Callable[..., Any], job_of: Callable[..., Any]
) -> None:
    given = {"prompt": {"token_ids": "ids"}}
    for section, ids in (({}, [1, 5, 6]), ({"append_eos": True}, [1, 5, 6, 2])):
        job = job_of("embed", headed("Model"), [{"ids": [1, 5, 6]}], input=given, embed=section)
        assert finished_rows(job)["prompt_token_ids"].to_pylist() == [ids]


def test_plan_says_how_vectors_are_made() -> None:
    assert Embed(EmbedSection()).requests(None).facts() == [
        ("embedding", "the last hidden state, of length 1")
    ]
    section = EmbedSection(pooling="mean", normalize=False)
    assert Embed(section).requests(None).facts() == [("embedding", "the mean of all hidden states, as it is")]


def test_the_example_job_writes_prompts_as_e5_mistral_was_trained_on_them(
    headed: Callable[..., Any], job_of: Callable[..., Any]
) -> None:
    """`Instruct: ...`, a new line, `Query: ...`, and the end of the sequence behind it."""
    example = yaml.safe_load((ROOT / "configs/cluster/embed-queries.yaml").read_text())
    job = job_of(
        "embed",
        headed("Model"),
        [{"query": "how much protein should a female eat"}],
        input={key: example["input"][key] for key in ("prompt", "chat")},
        embed=example["embed"],
    )
    table = finished_rows(job)
    [ids] = table["prompt_token_ids"].to_pylist()
    tokenizer = check_job(job).prompt_format.tokenizer  # type: ignore[union-attr]
    task = "Given a web search query, retrieve relevant passages that answer the query"
    text = f"Instruct: {task}\nQuery: how much protein should a female eat"
    assert ids == [1, *tokenizer.encode(text), 2]
    [vector] = table["embedding"].to_pylist()
    assert np.linalg.norm(vector) == pytest.approx(1.0)
