"""How steps are divided. What the engine makes of it: engine/test_too_large_steps_are_divided.py."""

import logging

import pytest

from model.execution import step_size
from model.execution.step_size import GROWS_AFTER, StepSize
from model.scheduling.batch import Phase, Row

DECODING = [Row(Phase.DECODE, slot, 5, [1]) for slot in range(6)]


def prompts(*lengths):
    return [Row(Phase.PREFILL, 9, 0, [1] * length) for length in lengths]


def parts(size, rows):
    """How many rows the parts of a step have that all fit."""
    size.begin()
    found = []
    while rows:
        part = size.part(rows)
        found.append(len(part))
        rows = rows[len(part) :]
    return found


@pytest.mark.parametrize(
    ("rows", "most", "divided"),
    [
        (DECODING + prompts(90, 4), 94, [6, 2]),  # what decodes runs apart from prompts
        (DECODING + prompts(2), 6, [6, 1]),
        (DECODING, 3, [3, 3]),
        (prompts(8, 1, 1, 1, 1), 6, [1, 4]),  # by tokens, not by rows
        (prompts(2, 2, 2, 9, 2), 8, [3, 1, 1]),
        (prompts(1, 1), 1, [1, 1]),
    ],
)
def test_prompts_are_set_aside_and_halves_are_of_tokens(rows, most, divided):
    size = StepSize()
    assert parts(size, rows) == [len(rows)]
    size.too_large(rows)
    assert (size.most, parts(size, rows)) == (most, divided)
    assert sum(divided) == len(rows)


def test_it_doubles_until_all_that_failed_is_tried_again():
    size = StepSize()
    size.too_large(prompts(20, 20))
    size.too_large(prompts(10, 10))
    grown = []
    for _ in range(2 * GROWS_AFTER):
        grown.append(size.most)
        size.fitted()
    assert grown == [10] * GROWS_AFTER + [20] * GROWS_AFTER
    assert (size.most, parts(size, prompts(30, 30))) == (None, [2])


def test_a_row_that_fails_alone_leaves_the_size_as_it_was():
    size = StepSize()
    size.too_large(prompts(32, 32))
    size.begin()
    for rows in (prompts(16, 16), prompts(8, 8)):
        size.too_large(rows)
    size.too_large_row()
    assert size.most == 32


def test_it_is_said_once_a_minute(caplog, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(step_size.time, "monotonic", lambda: now[0])
    size = StepSize()
    with caplog.at_level(logging.WARNING):
        for now[0] in (100.0, 101.0, 159.0, 160.5):
            size.too_large(prompts(20, 30))
    assert [record.getMessage() for record in caplog.records] == [
        "the device's memory did not suffice for 2 rows with 50 tokens in one step: they are run in parts, "
        "and so are steps of more than 25 tokens until 64 parts have fitted"
    ] * 2
