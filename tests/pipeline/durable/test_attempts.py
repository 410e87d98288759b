import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.durable.attempts import (
    Attempt,
    Piece,
    count_attempt,
    deaths,
    marker_path,
    pieces_to_run_alone,
    quarantined,
    read_attempts,
)
from pipeline.durable.operations import execute
from pipeline.errors import DamagedFile
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store

SHARD = Shard(0, "feed", "/in.jsonl", "in.jsonl", "etag", "jsonl", 0, 8, 0, 80)


def alone(first: int, end: int, process: str) -> Attempt:
    return Attempt(Piece(first, end), process, alone=True)


def beside(rows: int, process: str) -> Attempt:
    return Attempt(Piece(0, rows), process, alone=False)


@st.composite
def histories(draw: st.DrawFn) -> tuple[int, list[Attempt]]:
    """A shard's rows and any attempts at it, by few processes in any order."""
    rows = draw(st.integers(1, 12))
    attempts = []
    for _ in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, rows - 1))
        piece = Piece(first, draw(st.sampled_from([first + 1, rows, min(rows, first + 2)])))
        attempts.append(Attempt(piece, draw(st.sampled_from("abcdef")), draw(st.booleans())))
    return rows, attempts


@given(histories(), st.integers(1, 5))
def test_pieces_hold_every_row_once_but_those_quarantined(
    history: tuple[int, list[Attempt]], max_attempts: int
) -> None:
    rows, attempts = history
    bad = quarantined(attempts)
    pieces = pieces_to_run_alone(attempts, rows, max_attempts)
    suspected = len({attempt.process for attempt in attempts}) >= max(1, max_attempts - 1)
    if suspected and len(bad) < rows:
        assert sorted(row for piece in pieces for row in range(piece.first, piece.end)) == sorted(
            set(range(rows)) - bad
        )
    else:
        assert pieces == []


def test_a_process_is_blamed_for_its_last_attempt_only() -> None:
    attempts = [beside(8, "a"), beside(8, "b"), alone(0, 4, "c"), alone(4, 5, "c"), alone(4, 5, "d")]
    assert [died.piece for died in deaths(attempts)] == [Piece(0, 8), Piece(0, 8), Piece(4, 5), Piece(4, 5)]
    assert quarantined(attempts) == {4}
    assert quarantined([*attempts, alone(0, 0, "d")]) == set(), "d was through before it died"


def test_a_row_that_died_beside_others_is_not_blamed() -> None:
    assert quarantined([beside(1, "a"), beside(1, "b"), beside(1, "c"), alone(0, 1, "d")]) == set()


def test_an_attempt_takes_the_next_free_number(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    first, second = beside(8, "a"), beside(8, "b")
    assert execute(count_attempt(SHARD, first, 0), store) == 1
    assert execute(count_attempt(SHARD, second, 0), store) == 2, "another run had taken 0 meanwhile"
    assert execute(read_attempts(SHARD), store) == [first, second]
    assert json.loads(store.read(marker_path(SHARD, 1)))["process"] == "b"


@pytest.mark.parametrize(
    "marker",
    [
        b"", b'{"piece":{"first":0,"end":8},"pro', b"[]", b"null", b"[" * 100_000, b'{"piece":{"end":8}}',
        b'{"piece":{"first":0,"end":9},"process":"a","alone":true}',
        b'{"piece":{"first":-1,"end":2},"process":"a","alone":true}',
        b'{"piece":{"first":"0","end":2},"process":"a","alone":true}',
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
