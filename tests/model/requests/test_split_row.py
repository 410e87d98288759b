"""Choices that take several forward passes score as they do in one."""

import numpy as np
import pytest

from model.requests import choice_scores, token_tree
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Completion, Request
from model.requests.split_row import SplitRow

CHOICES = [[9, 8, 7, 6], [5], [9, 8], [40, 40, 40], [9, 12, 7], [40, 3], [9, 8, 7, 5], [1, 2], [9]]


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(choice_scores, "MOST_NODES", 3)
    monkeypatch.setattr(token_tree, "BLOCK_NODES", 2)


@pytest.mark.parametrize("end_ids", [(), (2, 60)])
def test_parts_hold_all_choices_and_few_nodes(small_parts, end_ids):
    scores = ChoiceScores.of(CHOICES, end_ids)
    longest = max(map(len, CHOICES)) if end_ids else max(map(len, CHOICES)) - 1
    sizes = [len(part.tree.token_ids) for part in scores.parts]
    assert sorted(choice for part in scores.parts for choice in part.choices) == sorted(CHOICES)
    assert len(sizes) > 2
    assert scores.largest_tree == max(sizes) <= max(3, longest)
    assert scores.computed_tokens == sum(sizes) >= len(scores.tree.token_ids)
    answers = [[float(CHOICES.index(choice)) for choice in part.choices] for part in scores.parts]
    assert scores.join(answers) == [*map(float, range(len(CHOICES)))]


@pytest.mark.parametrize("variant", ["mixtral", "window"])
def test_a_split_row_scores_and_counts_as_a_whole_one(variant, engine, prompts, monkeypatch):
    whole = engine(variant, max_batch_rows=3).score(prompts, CHOICES, (2, 60))
    monkeypatch.setattr(choice_scores, "MOST_NODES", 3)
    monkeypatch.setattr(token_tree, "BLOCK_NODES", 2)
    scores = ChoiceScores.of(CHOICES, (2, 60))
    split = engine(variant, max_batch_rows=3).run(
        [Request(str(i), prompt, readout=scores) for i, prompt in enumerate(prompts)]
    )
    for prompt, one, other in zip(prompts, whole, split, strict=True):
        assert (one.key, other.failure) == (other.key, None)
        assert other.answer == pytest.approx(one.answer, abs=1e-4)
        for name in ("tokens", "chosen", "pairs", "next_pairs", "repeat_first"):
            np.testing.assert_array_equal(getattr(other.routing, name), getattr(one.routing, name), name)
        shared = (
            (len(prompt) - 1) // 16 * 16 if variant == "mixtral" else 0
        )  # full pages, which all parts share
        computed = len(scores.parts) * (len(prompt) - shared) + shared + scores.computed_tokens
        assert other.routing.computed.tolist() == [computed, 0]


def test_a_row_fails_if_any_part_does(small_parts):
    row = SplitRow(Request("row", [5], readout=ChoiceScores.of(CHOICES)))
    last = len(row.requests) - 1
    for i in range(last):
        failure = "nan_logits" if i == 1 else None
        assert row.end_part(i, Completion("row", None if failure else [0.0], None, failure)) is None
    assert row.end_part(last, Completion("row", [0.0], None)) == Completion("row", None, None, "nan_logits")
