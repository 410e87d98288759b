"""Prefixes that rows share change what is computed, and nothing of what comes out."""

import numpy as np
import pytest

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

PAGE = 8
NEW_TOKENS = 10
EXACT = ["tokens", "chosen", "pairs", "next_pairs", "repeat_first", "repeat_any"]


@pytest.fixture
def rows(prompts):
    """A tree: prompts behind an instruction, half of them behind a document too, and what shares nothing."""
    instruction = max(prompts, key=len)[: 2 * PAGE + 3]
    document = prompts[-1][: PAGE + 1] + prompts[-2][:PAGE]
    return [
        *(instruction + prompt for prompt in prompts[::2]),
        *(instruction + document + prompt for prompt in prompts[1::2]),
        instruction,
        instruction[: PAGE - 1],
        [*instruction[:PAGE], (instruction[PAGE] + 1) % 97, 5],
        *prompts,
    ]


@pytest.fixture
def sharing(checkpoint, monkeypatch):
    """A variant's name and options -> an engine with small pages."""
    monkeypatch.setattr("model.execution.options.page_size", lambda _: PAGE)
    return lambda variant, **options: Engine.load(checkpoint(variant), threads=1, **options)


@pytest.mark.parametrize(
    "variant", ["mixtral", "one-kv-head", "wide-heads", "tied", "window", "rolling", "dense"]
)
@pytest.mark.parametrize(
    "options", [{"max_batch_rows": 3}, {"max_batch_rows": 64}, {"kv_cache_tokens": 96}], ids=str
)
def test_generations_equal_transformers(variant, options, sharing, oracle, rows):
    completions = sharing(variant, **options).generate(rows, SamplingParams(max_new_tokens=NEW_TOKENS))
    for row, completion in zip(rows, completions, strict=True):
        assert completion.token_ids == oracle(variant).generate(tuple(row), NEW_TOKENS)


def test_scores_are_the_same(sharing, engine, rows):
    choices = [[5, 6, 7], [5, 8], [9], [30, 31]]
    expected = engine("mixtral", max_batch_rows=5).score(rows, choices)
    for one, other in zip(sharing("mixtral").score(rows, choices), expected, strict=True):
        assert one.answer == pytest.approx(other.answer, abs=1e-5)


@pytest.mark.parametrize("rows_at_a_time", [3, 64])
@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("variant", ["mixtral", "rolling"])
def test_its_tokens_are_each_rows_but_computed_for_one(
    variant, labelled, rows_at_a_time, sharing, engine, rows
):
    scores = ChoiceScores.of([[5, 6, 7], [5, 8]]) if labelled else None
    params = None if labelled else SamplingParams(max_new_tokens=NEW_TOKENS)
    requests = [Request(str(i), row, params, scores) for i, row in enumerate(rows)]
    alone = [engine(variant, max_batch_rows=5).run([request])[0] for request in requests]
    completions = sharing(variant, max_batch_rows=rows_at_a_time).run(requests)
    saved = 0
    for row, one, other in zip(rows, completions, alone, strict=True):
        for name in EXACT:
            assert (getattr(one.routing, name) == getattr(other.routing, name)).all(), name
        for name in ("gate_q", "prob_q", "entropy_q"):
            difference = getattr(one.routing, name) - getattr(other.routing, name)
            assert np.abs(difference).max() <= len(row) + NEW_TOKENS, name
        saved += other.routing.computed - one.routing.computed
        if one.shared_routing is not None:
            assert one.shared_routing.tokens[0] % PAGE == 0
            assert one.shared_routing.tokens[0] < len(row)
            assert (one.shared_routing.chosen <= one.routing.chosen).all()
    in_tree = [row for row in rows if row[:PAGE] == rows[0][:PAGE]]
    with_instruction = [row for row in in_tree if row[: 2 * PAGE] == rows[0][: 2 * PAGE]]
    assert saved[0] >= PAGE * (len(in_tree) - 1) + PAGE * (len(with_instruction) - 2)
    assert saved[1] == 0


def test_on_several_ranks(checkpoint, oracle, rows, sharing):
    sharded = sharing("mixtral", tensor_parallel=2, max_batch_rows=6)
    try:
        completions = sharded.generate(rows[:12], SamplingParams(max_new_tokens=NEW_TOKENS))
        for row, completion in zip(rows, completions, strict=False):
            assert completion.token_ids == oracle("mixtral").generate(tuple(row), NEW_TOKENS)
    finally:
        sharded.close()
