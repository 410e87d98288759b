import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durable.attempts import (
    FORGIVEN,
    Attempt,
    Piece,
    count_attempt,
    deaths,
    losses,
    marker_path,
    pieces_to_run_alone,
    quarantined,
    read_attempts,
    suspected,
)
from pipeline.durable.operations import execute
from pipeline.errors import DamagedFile
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store

SHARD = Shard(0, "feed", "/in.jsonl", "in.jsonl", "etag", "jsonl", 0, 8, 0, 80)
PROCESSES = {"a": "r", "b": "r", "c": "r", "d": "s", "e": "s", "f": "t", "new": "now"}  # and their runs


def alone(first: int, end: int, process: str, run: str = "now") -> Attempt:
    return Attempt(Piece(first, end), process, alone=True, run=run)


def beside(rows: int, process: str, run: str = "now") -> Attempt:
    return Attempt(Piece(0, rows), process, alone=False, run=run)


def seen(attempts: list[Attempt]) -> list[Attempt]:
    """The deaths, as a new process of the run "now" sees them."""
    return deaths(attempts, "me", "now")


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[Attempt]]:
    """A shard's rows and any attempts at it, by few processes in any order."""
    rows = draw(st.integers(1, 12))
    attempts = []
    for _ in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, rows - 1))
        end = draw(st.sampled_from([first, first + 1, rows, min(rows, first + 2)]))
        process = draw(st.sampled_from([*PROCESSES]))
        attempts.append(Attempt(Piece(first, end), process, draw(st.booleans()), PROCESSES[process]))
    return rows, attempts


@given(histories(), st.integers(1, 5))
def test_pieces_hold_every_row_once_but_those_quarantined(
    history: tuple[int, list[Attempt]], max_attempts: int
) -> None:
    rows, attempts = history
    died = losses(attempts)
    bad = quarantined(died)
    pieces = pieces_to_run_alone(died, rows, max_attempts)
    if suspected(died, max_attempts) and len(bad) < rows:
        assert sorted(row for piece in pieces for row in range(piece.first, piece.end)) == sorted(
            set(range(rows)) - bad
        )
    else:
        assert pieces == []


def test_a_process_is_blamed_for_its_last_attempt_only() -> None:
    attempts = [beside(8, "a"), beside(8, "b"), alone(0, 4, "c"), alone(4, 5, "c"), alone(4, 5, "d")]
    assert [died.piece for died in seen(attempts)] == [Piece(0, 8), Piece(0, 8), Piece(4, 5), Piece(4, 5)]
    assert quarantined(seen(attempts)) == {4}
    assert quarantined(seen([*attempts, alone(0, 0, "d")])) == set(), "d was through before it died"


def test_a_row_that_died_beside_others_is_not_blamed() -> None:
    attempts = [beside(1, "a"), beside(1, "b"), beside(1, "c"), alone(0, 1, "d")]
    assert quarantined(losses(attempts)) == set()


def test_a_loss_counts_once_its_run_gave_the_shard_to_another_process() -> None:
    first = beside(8, "a", "r")
    assert seen([first]) == [], "all of the run may have died together"
    assert deaths([first], "b", "r") == [first], "b is asked by the run that lost a"
    assert deaths([first], "a", "r") == [], "a itself is alive"
    assert seen([first, beside(8, "b", "r")]) == [first]
    assert seen([first, beside(8, "d", "s")]) == [], "another run knows nothing of a"


def test_who_began_before_a_loss_is_no_witness_of_it() -> None:
    """b's run took it for dead and gave the shard to a; b was alive and went on."""
    began = [alone(0, 4, "b", "r"), alone(0, 4, "a", "r")]
    assert seen([*began, alone(4, 8, "b", "r")]) == []
    assert seen([*began, alone(0, 0, "b")]) == []
    assert seen([*began, alone(0, 0, "b"), beside(8, "c", "r")]) == [began[1]]


@pytest.mark.parametrize("losses_before", [0, FORGIVEN, FORGIVEN + 3])
def test_a_shard_that_is_always_there_when_all_is_lost_is_blamed_in_the_end(losses_before: int) -> None:
    lost = [beside(8, f"p{number}", f"run {number}") for number in range(losses_before)]
    assert seen(lost) == lost[FORGIVEN:]
    told = [*lost[:-1], beside(8, "last", "run"), alone(0, 0, "last")]
    assert len(seen(told)) == max(0, losses_before - 1 - FORGIVEN), "the last process gave up"


@given(histories())
def test_a_death_is_a_loss_and_few_losses_with_their_run_are_none(history: tuple[int, list[Attempt]]) -> None:
    _, attempts = history
    lost = losses(attempts)
    died = seen(attempts)
    assert [loss for loss in lost if loss in died] == died, "in their order"
    assert len(died) >= len(lost) - FORGIVEN
    for loss in died:  # never more than 7 processes here
        began = [attempts.index(a) for a in attempts if a.run == loss.run and a.process != loss.process]
        assert loss.run == "now" or max(began) > attempts.index(loss)


@given(histories(), st.sampled_from("xyz"))
def test_what_one_run_loses_at_once_blames_nobody_later(
    history: tuple[int, list[Attempt]], process: str
) -> None:
    _, attempts = history
    before = seen(attempts)
    assert seen([*attempts, beside(8, process, "a run of its own")]) == before


def test_an_attempt_takes_the_next_free_number(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first, second = beside(8, "a", "r"), beside(8, "b", "r")
    assert execute(count_attempt(SHARD, first, 0), store) == 1
    assert execute(count_attempt(SHARD, second, 0), store) == 2, "another run had taken 0 meanwhile"
    assert execute(read_attempts(SHARD), store) == [first, second]
    marker = json.loads(store.read(marker_path(SHARD, 1)))
    assert (marker["process"], marker["run"]) == ("b", "r")


@pytest.mark.parametrize(
    "marker",
    [
        b"", b'{"piece":{"first":0,"end":8},"pro', b"[]", b"null", b"[" * 100_000, b'{"piece":{"end":8}}',
        b'{"piece":{"first":0,"end":9},"process":"a","alone":true,"run":"r"}',
        b'{"piece":{"first":-1,"end":2},"process":"a","alone":true,"run":"r"}',
        b'{"piece":{"first":"0","end":2},"process":"a","alone":true,"run":"r"}',
        b'{"piece":{"first":0.5,"end":2},"process":"a","alone":true,"run":"r"}',
        b'{"piece":{"first":0,"end":2},"process":["a"],"alone":true,"run":"r"}',
        b'{"piece":{"first":0,"end":2},"process":"a","alone":1,"run":"r"}',
        b'{"piece":{"first":0,"end":2},"process":"a","alone":true,"run":{}}',
        b'{"piece":{"first":0,"end":2},"process":"a","alone":true,"run":null}',
        b'{"piece":{"first":0,"end":2},"process":"a","alone":true,"sun":"r"}',
    ],
)  # fmt: skip
def test_a_damaged_marker_is_named_with_what_to_do(tmp_path: Path, marker: bytes) -> None:
    store = open_store(tmp_path)
    execute(count_attempt(SHARD, beside(8, "a"), 0), store)
    store.create(marker_path(SHARD, 1), marker)
    told = (
        r"_job/attempts/feed-0001\.json is damaged \(it .*\): remove all files there whose names begin with"
    )
    with pytest.raises(DamagedFile, match=told):
        execute(read_attempts(SHARD), store)
