"""Attempts at a shard, counted in the store before each try, and the search for a row that kills its process.

A process that dies leaves one trace: the marker of what it was running. A shard's markers are numbered; each
tells the rows that a process set out to run. One that the same process followed with another was survived,
any other counts as a death. The first tries run the whole shard beside others; after max_attempts - 1 deaths
its rows are run alone, in halves, so that the next death says in which half the cause is. A row that died
alone twice (once might have been the machine) is quarantined: it becomes an error row and the others go on.
One such row costs at most max_attempts + log2(rows) deaths, rounded up (with max_attempts 2 at least, and one
more in a shard of a single row).
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import orjson

from pipeline.durable.operations import Create, Read, Steps
from pipeline.shards.shard import Shard

FOLDER = "_job/attempts"


@dataclass(frozen=True)
class Piece:
    """Rows [first, end) of a shard, counted from its first row."""

    first: int
    end: int

    def __len__(self) -> int:
        return self.end - self.first


@dataclass(frozen=True)
class Attempt:
    piece: Piece
    process: str  # a name that no other process ever had; it tells the machine too
    alone: bool  # a suspected shard's piece, and nothing else ran in the process meanwhile


def marker_path(shard: Shard, number: int) -> str:
    return f"{FOLDER}/{shard.id}-{number:04d}.json"


def read_attempts(shard: Shard) -> Steps[list[Attempt]]:
    """All attempts at a shard so far, oldest first."""
    attempts: list[Attempt] = []
    while (marker := (yield Read(marker_path(shard, len(attempts))))) is not None:
        fields = orjson.loads(marker)
        attempts.append(Attempt(Piece(**fields["piece"]), fields["process"], fields["alone"]))
    return attempts


def count_attempt(shard: Shard, attempt: Attempt, number: int) -> Steps[int]:
    """Write an attempt's marker before it begins; returns the number after its own.

    `number` is the first that may be free: another run of the job may have taken it meanwhile.
    """
    piece = {"first": attempt.piece.first, "end": attempt.piece.end}
    data = orjson.dumps({"piece": piece, "process": attempt.process, "alone": attempt.alone})
    while not (yield Create(marker_path(shard, number), data)):
        number += 1
    return number + 1


def deaths(attempts: list[Attempt]) -> list[Attempt]:
    """What was under way when a process died, oldest first.

    A process that is through with pieces run alone says so with an empty one; without it, the last piece of
    a process that was killed later, for another reason, would be blamed.
    """
    last_of = {attempt.process: number for number, attempt in enumerate(attempts)}
    return [attempts[number] for number in sorted(last_of.values()) if len(attempts[number].piece)]


def quarantined(attempts: list[Attempt]) -> set[int]:
    """Rows that died alone twice."""
    times = Counter(died.piece.first for died in deaths(attempts) if died.alone and len(died.piece) == 1)
    return {row for row, count in times.items() if count > 1}


def suspected(attempts: list[Attempt], max_attempts: int) -> bool:
    """Whether a shard killed so many processes that its rows are to be run alone."""
    return len(deaths(attempts)) >= max(1, max_attempts - 1)


def pieces_to_run_alone(attempts: list[Attempt], rows: int, max_attempts: int) -> list[Piece]:
    """How to try a shard of `rows` rows next: these pieces, each alone, in this order.

    They leave out quarantined rows and hold every other row once. The halves of the piece that died last
    come first. Empty: the shard is not suspected (or all of it is quarantined); run it beside others.
    """
    if not suspected(attempts, max_attempts):
        return []
    last, bad = deaths(attempts)[-1].piece, quarantined(attempts)
    middle = (last.first + last.end) // 2
    near = [Piece(last.first, middle), Piece(middle, last.end)] if len(last) > 1 else [last]
    return [
        piece
        for whole in (*near, Piece(0, last.first), Piece(last.end, rows))
        for piece in _without(whole, bad)
    ]


def _without(piece: Piece, bad: set[int]) -> list[Piece]:
    """What is left of a piece when it is cut at quarantined rows."""
    cuts = [piece.first - 1, *sorted(row for row in bad if piece.first <= row < piece.end), piece.end]
    return [Piece(a + 1, b) for a, b in pairwise(cuts) if b > a + 1]
