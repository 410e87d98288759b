"""A shared prefix changes what is computed, and nothing of what comes out."""

import numpy as np
import pytest

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

NEW_TOKENS = 10
EXACT = ["tokens", "chosen", "pairs", "next_pairs", "repeat_first", "repeat_any"]


@pytest.fixture
def prefix(prompts):
    return max(prompts, key=len)[:21]


@pytest.fixture
def rows(prefix, prompts):
    """Prompts behind the prefix, the prefix alone, a part of it, and others."""
    return [
        *(prefix + prompt for prompt in prompts),
        prefix,
        prefix[:7],
        [*prefix[:20], (prefix[20] + 1) % 97, 5],
        *prompts,
    ]


@pytest.fixture
def sharing(engine, prefix):
    """An engine's variant and options -> the engine with the prefix, which it forgets in the end."""
    used = []

    def share(*args, **options):
        used.append(engine(*args, **options))
        used[-1].share_prefix(prefix)
        return used[-1]

    yield share
    for one in used:
        one.share_prefix([])


@pytest.mark.parametrize("variant", ["mixtral", "one-kv-head", "wide-heads", "tied", "window", "dense"])
@pytest.mark.parametrize("options", [{"max_batch_rows": 3}, {"max_batch_rows": 64}], ids=str)
def test_generations_equal_transformers(variant, options, sharing, oracle, rows):
    completions = sharing(variant, **options).generate(rows, SamplingParams(max_new_tokens=NEW_TOKENS))
    for row, completion in zip(rows, completions, strict=True):
        assert completion.token_ids == oracle(variant).generate(tuple(row), NEW_TOKENS)


def test_scores_are_the_same(sharing, engine, rows):
    choices = [[5, 6, 7], [5, 8], [9], [30, 31]]
    expected = engine("mixtral", max_batch_rows=5).score(rows, choices)
    for one, other in zip(sharing("mixtral").score(rows, choices), expected, strict=True):
        assert one.answer == pytest.approx(other.answer, abs=1e-5)


@pytest.mark.parametrize("labelled", [False, True])
def test_its_tokens_are_each_rows_but_computed_for_none(labelled, sharing, engine, prefix, rows):
    scores = ChoiceScores.of([[5, 6, 7], [5, 8]]) if labelled else None
    params = SamplingParams(max_new_tokens=NEW_TOKENS)
    requests = [
        Request(str(i), row, params if scores is None else None, scores) for i, row in enumerate(rows)
    ]
    expected = engine("mixtral", max_batch_rows=5).run(requests)
    shared = 0
    for row, one, other in zip(rows, sharing("mixtral").run(requests), expected, strict=True):
        for name in EXACT:
            assert (getattr(one.routing, name) == getattr(other.routing, name)).all(), name
        for name in ("gate_q", "prob_q", "entropy_q"):
            difference = getattr(one.routing, name) - getattr(other.routing, name)
            assert np.abs(difference).max() <= len(row) + NEW_TOKENS, name
        saved = len(prefix) if row[: len(prefix)] == prefix and len(row) > len(prefix) else 0
        assert (other.routing.computed - one.routing.computed).tolist() == [saved, 0]
        shared += saved > 0
    assert 8 <= shared < len(rows) - 8


def test_on_several_ranks(checkpoint, oracle, prefix, rows):
    sharded = Engine.load(checkpoint("mixtral"), tensor_parallel=2, threads=1, max_batch_rows=6)
    try:
        sharded.share_prefix(prefix)
        completions = sharded.generate(rows[:12], SamplingParams(max_new_tokens=NEW_TOKENS))
        for row, completion in zip(rows, completions, strict=False):
            assert completion.token_ids == oracle("mixtral").generate(tuple(row), NEW_TOKENS)
    finally:
        sharded.close()


def test_a_prefix_that_cannot_be_is_refused(engine):
    with pytest.raises(ValueError, match=r"a token id must be in \[0, 97\), got 97"):
        engine("mixtral").share_prefix([5, 97])
