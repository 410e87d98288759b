"""Task answer: the likeliest span by transformers' logits, and its characters in the context."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mistral_common
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.requests.request import Completion
from pipeline.config.job import JobConfig
from pipeline.preflight.job import check_job
from pipeline.tasks.answer import AnswerRows, likeliest_span
from pipeline.text.prompt_format import PlainFormat
from pipeline.text.tokenization import Tokenizer
from tests.pipeline.tasks.without_ray import finished_rows

TOKENIZER = Tokenizer.load(Path(mistral_common.__file__).parent / "data")
Headed, Jobs = Callable[..., Any], Callable[..., Any]
ROWS = [
    {"q": "Who lives in Köln?", "c": "Anna Berg lives in Köln. Otto lives in Rome."},
    {"q": "Where?", "c": "日本"},
    {"q": "Where?", "c": "x " * 200},
    {"q": "", "c": "Rome"},
    {"q": "Where?", "c": " in  Rome "},
]


@given(st.lists(st.tuples(*[st.floats(-50, 50)] * 2), min_size=1, max_size=12), st.integers(1, 15))
def test_the_likeliest_span_of_all(logits: list[tuple[float, float]], most: int) -> None:
    array = np.array(logits)
    begin, end, prob = likeliest_span(array, np.ones(len(array), bool), most)
    shifted = np.exp(array - array.max(0))
    probs = shifted / shifted.sum(0)
    every = [
        probs[i, 0] * probs[j, 1] for i in range(len(logits)) for j in range(i, min(i + most, len(logits)))
    ]
    assert 0 <= end - begin < most
    assert prob == pytest.approx(max(every), rel=1e-9)
    assert prob == pytest.approx(probs[begin, 0] * probs[end, 1], rel=1e-9)


@given(
    st.lists(st.tuples(st.floats(-20, 20), st.floats(-20, 20), st.booleans()), min_size=1, max_size=12),
    st.integers(1, 15),
)
def test_the_likeliest_span_of_those_that_say_something(
    tokens: list[tuple[float, float, bool]], most: int
) -> None:
    tokens[len(tokens) // 2] = (*tokens[len(tokens) // 2][:2], True)
    array, says = np.array([token[:2] for token in tokens]), np.array([token[2] for token in tokens])
    begin, end, prob = likeliest_span(array, says, most)
    assert says[begin : end + 1].any()
    probs = np.exp(array - array.max(0)) / np.exp(array - array.max(0)).sum(0)
    every = [
        probs[i, 0] * probs[j, 1]
        for i in range(len(tokens))
        for j in range(i, min(i + most, len(tokens)))
        if says[i : j + 1].any()
    ]
    assert prob == pytest.approx(max(every), rel=1e-9)


@pytest.mark.parametrize("context", [" 日本", "\n\nfoo  bar\n", "x \u3000\n", "5 apples"])
def test_an_answer_is_never_only_white_space(context: str) -> None:
    """Wherever in the context the model sees an answer's begin and its end."""
    rows = AnswerRows(PlainFormat(TOKENIZER, frozenset()), 30)
    ids = [1, *TOKENIZER.encode("Who?"), 1, *TOKENIZER.encode(context)]
    request, finish = rows.start("row", ids, json.dumps(context))
    tokens = len(ids) - request.wanted.first_read(len(ids))
    found = set()
    for begin in range(tokens):
        for end in range(begin, tokens):
            logits = np.zeros((tokens, 2))
            logits[begin, 0] = logits[end, 1] = 9.0
            values = finish(Completion("row", logits, None)).values
            assert values["answer"] == context[values["answer_start"] : values["answer_end"]]
            assert values["answer"].strip() == values["answer"] != ""
            found.add(values["answer"])
    assert context.strip() in found


def test_a_job_answers_as_transformers_logits_say(headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForQuestionAnswering")
    job = job_of("answer", checkpoint, ROWS, answer={"question": "q", "context": "c", "max_answer_tokens": 4})
    table = finished_rows(job)
    assert table["error_code"].to_pylist() == [None, None, "PROMPT_TOO_LONG", "EMPTY_PROMPT", None]
    tokenizer = check_job(job).prompt_format.tokenizer  # type: ignore[union-attr]
    for given_row, row in zip(ROWS, table.to_pylist(), strict=True):
        if row["status"] == "error":
            assert row["answer"] is None
            continue
        context = given_row["c"]
        ids, first = row["prompt_token_ids"], len(row["prompt_token_ids"]) - len(tokenizer.encode(context))
        given_logits = checkpoint(ids)
        logits = np.stack([given_logits.start_logits[0], given_logits.end_logits[0]], -1)[first:]
        says = np.array([bool(tokenizer.decode([1, token_id]).strip()) for token_id in ids[first:]])
        begin, end, prob = likeliest_span(logits.astype(np.float64), says, 4)
        assert row["answer_prob"] == pytest.approx(prob, abs=1e-4)
        assert row["answer"] == tokenizer.decode(ids[first + begin : first + end + 1]).strip()
        assert row["answer"] == context[row["answer_start"] : row["answer_end"]]


def test_its_section_stands_in_place_of_the_prompt() -> None:
    base = {"job": "x", "model": {"path": "m"}, "output": {"path": "o"}}
    answer = {"question": "q", "context": "c"}
    JobConfig.model_validate(base | {"task": "answer", "answer": answer, "input": {"path": "i"}})
    prompt = {"path": "i", "prompt": {"column": "c"}}
    with pytest.raises(
        ValueError, match=r"input\.prompt has no effect with task answer, whose section answer"
    ):
        JobConfig.model_validate(base | {"task": "answer", "answer": answer, "input": prompt})
    with pytest.raises(ValueError, match=r"input\.prompt is required with task embed"):
        JobConfig.model_validate(base | {"task": "embed", "input": {"path": "i"}})
    with pytest.raises(ValueError, match="task answer needs a section answer with question, context"):
        JobConfig.model_validate(base | {"task": "answer", "input": {"path": "i"}})
