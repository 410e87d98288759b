"""Task score: transformers' log-softmax of a continuation or a prompt, and what rows may bring."""

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest

from pipeline.preflight.job import check_job
from pipeline.preflight.shown_prompts import show_prompts
from pipeline.rows.prepare import PREPARED
from pipeline.shards.make_plan import make_plan
from pipeline.tasks.score import Score, ScoreSection
from tests.pipeline.tasks.without_ray import finished_rows

Headed, Jobs = Callable[..., Any], Callable[..., Any]
PAIRS = [
    ("The capital of France is", "Paris"),
    ("The capital of France is", " Paris, of course."),
    ("The capital of France is ", "Paris"),
    ("Q: 2+2?\nA:", "4"),
    ("He said (", "quietly) that"),
    ("日本", "東京\n"),
]


def logprobs(checkpoint: Any, ids: list[int], begin: int) -> list[float]:
    table = checkpoint(ids).logits[0].double().log_softmax(-1)
    return [float(table[i - 1, ids[i]]) for i in range(begin, len(ids))]


def test_continuations(headed: Headed, job_of: Jobs) -> None:
    """Their tokens are those of prompt and continuation as one text, from where the prompt's own end."""
    checkpoint = headed("ForCausalLM")
    rows = [{"text": text, "answer": answer} for text, answer in PAIRS]
    job = job_of(
        "score", checkpoint, rows, score={"column": "answer"}, output={"include": ["score_token_logprobs"]}
    )
    tokenizer = check_job(job).prompt_format.tokenizer  # type: ignore[union-attr]
    for (text, answer), row in zip(PAIRS, finished_rows(job).to_pylist(), strict=True):
        between = "" if text[-1] in " (" or answer[0] == " " else " "
        whole = [1, *tokenizer.encode(text + between + answer)]
        prompt = [1, *tokenizer.encode(text + between)]  # a space that is a token belongs to the prompt
        begin = next(
            (i for i, pair in enumerate(zip(prompt, whole, strict=False)) if len({*pair}) > 1), len(prompt)
        )
        wanted = logprobs(checkpoint, whole, begin)
        assert row["score_token_logprobs"] == pytest.approx(wanted, abs=1e-4), text
        assert row["score_tokens"] == len(wanted)
        assert row["score_logprob"] == pytest.approx(math.fsum(wanted), abs=1e-4)
        assert row["score_perplexity"] == pytest.approx(math.exp(-math.fsum(wanted) / len(wanted)), rel=1e-4)
        assert sum(row["router_prefill_first"]) == 2 * len(whole)


def test_prompts(headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForCausalLM")
    rows = [{"text": text} for text, _ in PAIRS]
    job = job_of("score", checkpoint, rows, output={"include": ["prompt_token_ids", "score_token_logprobs"]})
    for row in finished_rows(job).to_pylist():
        wanted = logprobs(checkpoint, row["prompt_token_ids"], 1)
        assert row["score_token_logprobs"] == pytest.approx(wanted, abs=1e-4)
        assert row["score_tokens"] == row["prompt_tokens"] - 1
        assert sum(row["router_prefill_first"]) == 2 * row["prompt_tokens"]


def test_token_ids_are_taken_as_they_are(headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForCausalLM")
    job = job_of(
        "score",
        checkpoint,
        [{"ids": [1, 5, 6], "next": [9, 9, 31_999]}],
        input={"prompt": {"token_ids": "ids"}},
        score={"column": "next"},
    )
    [row] = finished_rows(job).to_pylist()
    wanted = logprobs(checkpoint, [1, 5, 6, 9, 9, 31_999], 3)
    assert row["score_logprob"] == pytest.approx(math.fsum(wanted), abs=1e-4)


def test_a_row_that_cannot_be_scored_costs_nothing_but_itself(headed: Headed, job_of: Jobs) -> None:
    answers = [None, "", 7, [1, "a"], [32_000], [-1], "x " * 200, "\ud800", "fine"]
    rows = [{"text": "Hello", "answer": answer} for answer in answers]
    job = job_of("score", headed("ForCausalLM"), rows, score={"column": "answer"}, input={"shard_rows": 99})
    found = finished_rows(job).to_pylist()
    assert [row["error_code"] for row in found] == [
        "NULL_PROMPT", "EMPTY_PROMPT", "WRONG_TYPE", "BAD_TOKEN_ID", "BAD_TOKEN_ID", "BAD_TOKEN_ID",
        "PROMPT_TOO_LONG", "INVALID_UTF8", None,
    ]  # fmt: skip
    one = job_of("score", headed("ForCausalLM"), [{"ids": [1]}], input={"prompt": {"token_ids": "ids"}})
    assert finished_rows(one)["error_code"].to_pylist() == ["EMPTY_PROMPT"]


def test_control_tokens_in_a_continuation_are_its_text(headed: Headed, job_of: Jobs) -> None:
    rows = [{"text": "a", "answer": "b"}]
    requests = check_job(job_of("score", headed("ForCausalLM"), rows, score={"column": "answer"})).requests
    request, _ = requests.start("row", [1, 264], '"x</s>"')
    assert 2 not in request.prompt_token_ids


def test_the_report_has_the_perplexity_of_all_scored_tokens() -> None:
    task = Score(ScoreSection())
    rows = pa.table({"score_logprob": [-2.0, None, -4.0], "score_tokens": [1, None, 2]})
    assert task.facts(task.measure(rows)) == [("perplexity", "7.389 over 3 scored tokens")]
    assert task.facts({"score_tokens": 0, "score_logprob_q": 0}) == []
    assert Score(ScoreSection(column="a")).input_columns == {"a": "score.column"}


def test_plan_shows_the_continuation(headed: Headed, job_of: Jobs) -> None:
    rows = [{"text": "The capital is", "answer": "Paris"}]
    job = check_job(job_of("score", headed("ForCausalLM"), rows, score={"column": "answer"}))
    shard = make_plan(job.config.input, task=job.task).shards[0]
    [shown] = show_prompts(job, [job.preparation.prepared(shard).select(PREPARED.names)], 1)
    lines = [line.plain for line in shown.lines(80)]
    assert any("the scored continuation" in line for line in lines)
    assert any("Par" in line for line in lines)
    assert job.requests.facts() == [("scored", "column answer, behind each prompt")]
