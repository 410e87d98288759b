"""The columns of finished rows: one schema for results and errors, whatever the task."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from model.config import ModelConfig
from model.requests.row_routing import RowRouting
from pipeline.config.job import JobConfig
from pipeline.row_requests import Outcome
from pipeline.rows.result_rows import ResultRows, reserved_names

MODEL = ModelConfig.from_dict(
    {
        "model_type": "mixtral", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 8,
        "num_hidden_layers": 3, "num_attention_heads": 2, "num_local_experts": 4, "num_experts_per_tok": 2,
        "rms_norm_eps": 1e-5, "rope_theta": 1e4, "max_position_embeddings": 100,
    }
)  # fmt: skip
FIRST = ["id", "file", "row", "status", "error_code", "error_message"]
GENERATED = ["text", "finish_reason", "prompt_tokens", "generated_tokens"]
LABELLED = ["label", "label_prob", "label_probs", "label_mass", "prompt_tokens"]
ROUTER = [f"router_{phase}_{choice}" for phase in ("prefill", "decode") for choice in ("first", "second")]


def config(task: str, **sections: Any) -> JobConfig:
    own = {"label": {"choices": ["a", "b"]}} if task == "label" else {}
    given = {"path": "i.jsonl", "prompt": {"column": "c"}} | sections.pop("input", {})
    return JobConfig.model_validate(
        {
            "job": "x", "task": task, "model": {"path": "m"}, "input": given, "output": {"path": "o"},
            **own, **sections,
        }
    )  # fmt: skip


def rows_of(job: JobConfig, outcomes: list[Outcome]) -> pa.Table:
    columns = {
        "id": [f"id-{i}" for i in range(len(outcomes))],
        "file": ["i.jsonl"] * len(outcomes),
        "row": list(range(len(outcomes))),
        "prompt": ["say"] * len(outcomes),
        "prompt_token_ids": [[1, 2, 3] if outcome.error_code is None else None for outcome in outcomes],
    }
    prepared = pa.table(columns)
    for name in job.input.keep:
        prepared = prepared.append_column(f"keep.{name}", pa.array([f"kept {name}"] * len(outcomes)))
    return ResultRows(job, job.make_task(), MODEL).table(prepared, outcomes)


def test_a_generate_job(make_routing: Callable[..., RowRouting]) -> None:
    job = config(
        "generate",
        generation={"logprobs": True},
        input={"keep": ["n"]},
        output={"path": "o", "include": ["token_ids", "prompt"]},
    )
    values = {"text": "hi", "finish_reason": "stop", "generated_tokens": 2, "token_ids": [7, 8]}
    routing = make_routing(np.random.default_rng(0))
    table = rows_of(job, [Outcome(values=values, routing=routing), Outcome("EMPTY_LINE", "nothing there")])
    assert table.column_names == [*FIRST, *GENERATED, "token_ids", "prompt", "token_logprobs", "n", *ROUTER]
    good, bad = table.to_pylist()
    assert (good["status"], good["text"], good["prompt_tokens"], good["n"]) == ("ok", "hi", 3, "kept n")
    assert good["router_decode_second"] == routing.chosen[1][:, 1].ravel().tolist()
    assert (bad["status"], bad["error_code"], bad["error_message"]) == (
        "error",
        "EMPTY_LINE",
        "nothing there",
    )
    assert {name for name, value in bad.items() if value is None} == {
        *GENERATED, "token_ids", "token_logprobs", *ROUTER
    }  # fmt: skip


def test_a_label_job_has_no_column_of_generation(make_routing: Callable[..., RowRouting]) -> None:
    job = config("label", input={"keep": ["text", "generated_tokens"]})
    probs = [{"label": "a", "prob": 0.75}, {"label": "b", "prob": 0.25}]
    values = {"label": "a", "label_prob": 0.75, "label_probs": probs, "label_mass": 0.5}
    table = rows_of(job, [Outcome(values=values, routing=make_routing(np.random.default_rng(0), decode=0))])
    assert table.column_names == [*FIRST, *LABELLED, "text", "generated_tokens", *ROUTER[:2]]
    [row] = table.to_pylist()
    assert (row["text"], row["label_probs"], row["label_mass"]) == ("kept text", probs, 0.5)
    assert str(table.schema.field("label_probs").type) == ("list<item: struct<label: string, prob: double>>")


def test_names_that_a_job_does_not_use_are_free() -> None:
    label, generate = config("label"), config("generate")
    always = {*FIRST, "prompt_tokens", "kept_unfit", *ROUTER[:2]}
    of_label, of_generate = (reserved_names(job, job.make_task()) for job in (label, generate))
    assert of_label == always | {*LABELLED}
    assert of_generate == always | {*GENERATED, *ROUTER}
    plain = config("label", router={"per_row": False}, output={"path": "o", "include": ["prompt"]})
    assert reserved_names(plain, plain.make_task()) == of_label - {*ROUTER} | {"prompt"}


@pytest.mark.parametrize(("context", "type_"), [(65_535, pa.uint16()), (65_536, pa.uint32())])
def test_a_rows_counts_fit_their_type(context: int, type_: pa.DataType) -> None:

    job = config("generate")
    model = dataclasses.replace(MODEL, max_positions=context)
    prepared = pa.table({"id": ["a"], "file": ["f"], "row": [0], "prompt": [""], "prompt_token_ids": [[1]]})
    table = ResultRows(job, job.make_task(), model).table(prepared, [Outcome()])
    assert table["router_prefill_first"].type == pa.list_(type_, 3 * 4)
