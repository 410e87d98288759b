"""Whose counters each token of a step goes to."""

import torch

from model.requests.choice_scores import ChoiceScores
from model.routing.token_owners import SPARE_SLOT, SPECIAL_SLOTS, TokenOwners
from model.scheduling.batch import Batch, Phase, Row

SLOTS = 4 + SPECIAL_SLOTS


def test_tokens_are_counted_by_phase_and_slot_and_nodes_are_not():
    tree = ChoiceScores.of([[5, 6], [7, 8]]).tree
    batch = Batch.of(
        [
            Row(Phase.DECODE, 2, 9, [1]),
            Row(Phase.PREFILL, 0, 0, [1, 2], tree=tree),
            Row(Phase.PREFILL, 3, 4, [3], shared=4, follows=1),
            Row(Phase.PREFILL, 1, 2, [4, 5], counted=False),
        ]
    )
    owners = TokenOwners.of(batch, SLOTS)
    assert owners.slots.tolist() == [2, 0, 3, 1]
    assert owners.counters.tolist() == [SLOTS + 2, 0, 3, 1], "those of decode follow those of prefill"
    assert owners.sizes.tolist() == [[1, 1], [2, 4], [1, 1], [0, 2]]
    assert owners.own.tolist() == [0, 1, 2, 5, 6, 7]
    spare = SPARE_SLOT % SLOTS
    assert owners.token_counters.tolist() == [SLOTS + 2, 0, 0, 3, spare, spare]
    assert (owners.first.tolist(), owners.last.tolist()) == ([0, 1, 3, 4], [0, 2, 3, 5])
    assert owners.paired.tolist() == [True, False, True, True, True, True]
    assert owners.follows.tolist() == [[3], [1]], "token 3 is the first of a row that follows slot 1"


def test_without_trees_no_token_is_selected():
    assert TokenOwners.of(Batch.of([Row(Phase.PREFILL, 0, 0, [1, 2])]), SLOTS).own is None


def test_a_captured_step_has_the_owners_of_the_same_batch():
    slots = [3, 0, 1]
    batch = Batch.of([Row(Phase.DECODE, slot, 5, [1]) for slot in slots])
    expected, captured = TokenOwners.of(batch, SLOTS), TokenOwners.decoding(torch.tensor(slots), SLOTS)
    for name, value in vars(expected).items():
        other = getattr(captured, name)
        assert (value is None and other is None) or other.tolist() == value.tolist(), name


def test_the_spare_slot_lies_behind_those_of_rows():
    assert SPARE_SLOT % SLOTS == 4
