"""Attempts at a shard, counted in the store before each try, and the search for a row that kills its process.

Before a process runs rows of a shard, it writes a numbered marker that names the rows and the process. A
marker counts as survived if the same process wrote a later one for the shard; the last marker of a process
counts as a death. The first tries run the whole shard beside others. After max_attempts - 1 deaths the shard
is suspected: its rows are run alone, in halves, so that the next death tells which half holds the cause. A
row that ran alone in two deaths (one may have been the machine's fault) is quarantined: it becomes an error
row, and the other rows go on. One such row costs at most max_attempts + log2(rows) deaths, rounded up (with
max_attempts 2 at least, and one more in a shard of a single row).
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import orjson

from pipeline.durable.damage import naming_damage
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
    process: str  # a unique name, which begins with the machine's
    alone: bool  # the piece of a suspected shard, while nothing else ran in the process


def marker_path(shard: Shard, number: int) -> str:
    return f"{FOLDER}/{shard.id}-{number:04d}.json"


def read_attempts(shard: Shard) -> Steps[list[Attempt]]:
    """All attempts at a shard so far, oldest first; DamagedFile names a marker that is none."""
    attempts: list[Attempt] = []
    while (marker := (yield Read(path := marker_path(shard, len(attempts))))) is not None:
        with naming_damage(path):
            fields = orjson.loads(marker)
            piece = Piece(**fields["piece"])
            if not 0 <= piece.first <= piece.end <= shard.rows:
                raise ValueError("it names rows that the shard does not have")
            attempts.append(Attempt(piece, fields["process"], fields["alone"]))
    return attempts


def count_attempt(shard: Shard, attempt: Attempt, number: int) -> Steps[int]:
    """Write the marker of an attempt that is about to begin; returns the number that follows the marker's.

    `number` is the first that was free when it was read; another run of the job may have taken it since.
    """
    piece = {"first": attempt.piece.first, "end": attempt.piece.end}
    data = orjson.dumps({"piece": piece, "process": attempt.process, "alone": attempt.alone})
    while not (yield Create(marker_path(shard, number), data)):
        number += 1
    return number + 1


def deaths(attempts: list[Attempt]) -> list[Attempt]:
    """The attempts during which a process died, oldest first.

    A process that has finished pieces run alone writes a marker of an empty piece. Without it, its last piece
    would be blamed if the process is killed later for another reason.
    """
    last_of = {attempt.process: number for number, attempt in enumerate(attempts)}
    return [attempts[number] for number in sorted(last_of.values()) if len(attempts[number].piece)]


def quarantined(attempts: list[Attempt]) -> set[int]:
    """Rows whose process died twice while it ran them alone."""
    times = Counter(died.piece.first for died in deaths(attempts) if died.alone and len(died.piece) == 1)
    return {row for row, count in times.items() if count > 1}


def suspected(attempts: list[Attempt], max_attempts: int) -> bool:
    """Whether a shard killed so many processes that its rows are to be run alone."""
    return len(deaths(attempts)) >= max(1, max_attempts - 1)


def pieces_to_run_alone(attempts: list[Attempt], rows: int, max_attempts: int) -> list[Piece]:
    """The pieces in which a suspected shard of `rows` rows is tried next, each alone, in this order.

    They hold every row once but those in quarantine. The halves of the piece of the last death come first.
    Empty if the shard is not suspected, or if all its rows are in quarantine.
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
    """The pieces that are left of `piece` without its quarantined rows."""
    cuts = [piece.first - 1, *sorted(row for row in bad if piece.first <= row < piece.end), piece.end]
    return [Piece(a + 1, b) for a, b in pairwise(cuts) if b > a + 1]
