"""Which outputs each reading is handed, and which rows end; no network is run."""

from types import SimpleNamespace

import pytest
import torch

from model.execution.read_step import read_step
from model.requests.readout import Head, Reading
from model.scheduling.batch import Phase, Row
from model.scheduling.prefix_tree import Prefix
from model.scheduling.sequence import Sequence


class Kept(Reading):
    """Keeps what it is handed, and ends when it has read a 1."""

    calls = 0

    @classmethod
    def take(cls, readings, outputs, parts):
        cls.calls += 1
        for reading, part in zip(readings, parts, strict=True):
            reading.answer = outputs[part, 0].tolist()
        return [1.0 in reading.answer for reading in readings]


class Other(Kept):
    calls = 0


def sequence(kind):
    return Sequence(SimpleNamespace(cache_tokens=8), kind(), 0, Prefix(None, [], 0, 0))


@pytest.fixture
def step():
    Kept.calls = Other.calls = 0
    sequences = [sequence(kind) for kind in (Kept, Other, Kept, Kept)]
    rows = [
        Row(Phase.DECODE, 0, 5, [9]),
        Row(Phase.PREFILL, 1, 0, [9, 9, 9], read_from=1),
        Row(Phase.PREFILL, 2, 0, [9, 9], head=Head.HIDDEN),
        Row(Phase.PREFILL, 3, 0, [9, 9], read_from=0),
    ]
    outputs = {
        Head.VOCABULARY: torch.tensor([[1.0], [2], [3], [4], [5]]),
        Head.HIDDEN: torch.tensor([[6.0]]),
    }
    return sequences, rows, outputs


def test_each_row_reads_its_own_outputs(step):
    sequences = step[0]
    assert read_step(*step) == [(sequences[0], None)]
    assert [one.reading.answer for one in sequences] == [[1], [2, 3], [6], [4, 5]]


def test_parts_of_which_nothing_is_read_are_passed_over(step):
    sequences, rows, outputs = step
    prefix, unread = Prefix(None, [9], 0, 1), Row(Phase.PREFILL, 9, 0, [9], read_from=None)
    assert read_step([prefix, *sequences], [unread, *rows], outputs) == [(sequences[0], None)]
    assert [one.reading.answer for one in sequences] == [[1], [2, 3], [6], [4, 5]]


def test_rows_of_one_kind_under_one_head_are_read_together(step):
    read_step(*step)
    assert (Kept.calls, Other.calls) == (2, 1), "once for each head"


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_row_fails_alone_if_any_output_that_it_reads_is_no_number(step, value):
    sequences, _, outputs = step
    outputs[Head.VOCABULARY][1] = float(value)  # the first of row 1
    assert read_step(*step) == [(sequences[1], "nan_logits"), (sequences[0], None)]
    assert sequences[1].reading.answer is None
    assert sequences[3].reading.answer == [4, 5]


def test_a_row_that_keeps_nothing_cannot_go_on(step):
    sequences, rows, outputs = step
    sequences[1].request.cache_tokens = 0
    with pytest.raises(AssertionError, match="Other goes on, but its readout keeps no tokens"):
        read_step(sequences, rows, outputs)
