"""Attempts at a shard, counted in the store before each try, and the search for a row that kills its process.

Before a process runs rows of a shard, it writes a numbered marker that names the rows, the process and its
run. A marker counts as survived if the same process wrote a later one for the shard; the last marker of a
process is a loss. A loss is a death only if its run outlived it, see `deaths`. The first tries run the whole
shard beside others. After max_attempts - 1 deaths the shard is suspected: its rows are run alone, in halves,
so that the next death tells which half holds the cause. A row that ran alone in two deaths (one may have been
the machine's fault) is quarantined: it becomes an error row, and the other rows go on. One such row costs at
most max_attempts + log2(rows) deaths, rounded up (with max_attempts 2 at least, and one more in a shard of a
single row).
"""

from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

import orjson

from pipeline.durable.damage import naming_damage
from pipeline.durable.operations import Create, Read, Steps
from pipeline.shards.shard import Shard

FOLDER = "_job/attempts"

# Losses together with their run that are forgiven a shard. Such a loss has some twenty shards in flight, and
# rarely one to blame. A shard that is lost so often without being committed is one of the first of its run
# each time: as many runs have ended before their first shards did. For a row that takes the machine along,
# it means so many more restarts, once.
FORGIVEN = 8


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
    run: str | None = None  # of the job, to which the process belongs; None if the piece is empty


def marker_path(shard: Shard, number: int) -> str:
    return f"{FOLDER}/{shard.id}-{number:04d}.json"


def read_attempts(shard: Shard) -> Steps[list[Attempt]]:
    """All attempts at a shard so far, oldest first; DamagedFile names a marker that is none."""
    attempts: list[Attempt] = []
    while (marker := (yield Read(path := marker_path(shard, len(attempts))))) is not None:
        with naming_damage(path):
            attempts.append(_parsed(marker, shard.rows))
    return attempts


def _parsed(marker: bytes, rows: int) -> Attempt:
    fields = orjson.loads(marker)
    attempt = Attempt(Piece(**fields["piece"]), fields["process"], fields["alone"], fields["run"])
    first, end = attempt.piece.first, attempt.piece.end
    told = str if first != end else str | None
    if not (
        type(first) is type(end) is int
        and isinstance(attempt.process, str)
        and isinstance(attempt.alone, bool)
        and isinstance(attempt.run, told)
    ):
        raise TypeError
    if not 0 <= first <= end <= rows:
        raise ValueError("it names rows that the shard does not have")
    return attempt


def count_attempt(shard: Shard, attempt: Attempt, number: int) -> Steps[int]:
    """Write the marker of an attempt that is about to begin; returns the number that follows the marker's.

    `number` is the first that was free when it was read; another run of the job may have taken it since.
    """
    piece = {"first": attempt.piece.first, "end": attempt.piece.end}
    marker = {"piece": piece, "process": attempt.process, "alone": attempt.alone, "run": attempt.run}
    data = orjson.dumps(marker)
    while not (yield Create(marker_path(shard, number), data)):
        number += 1
    return number + 1


def losses(attempts: list[Attempt]) -> list[Attempt]:
    """The attempts of which no process has told the end, oldest first.

    A process that has finished pieces run alone writes a marker of an empty piece. Without it, its last piece
    would be blamed if the process is killed later for another reason.
    """
    return [attempts[number] for number in _lost(attempts)]


def deaths(attempts: list[Attempt], process: str, run: str) -> list[Attempt]:
    """The losses that count against the shard, oldest first, for a process of a run that is about to try it.

    A loss counts if its run outlived it, and so gave the shard to another process: to this one, or to one
    whose first marker came later. Otherwise it may have been the loss of all processes of a run at once: a
    stop of the machine, a full disk. No shard is to blame for that, unless it happens to it again and again:
    FORGIVEN such losses do not count, later ones do, so that a row which takes its machine along is found.
    """
    begins: dict[str, int] = {}
    for number, attempt in enumerate(attempts):
        if len(attempt.piece):
            begins.setdefault(attempt.process, number)
    last_begin = {attempts[number].run: number for number in begins.values()}
    died, unwitnessed = [], 0
    for number in _lost(attempts):
        attempt = attempts[number]
        if attempt.process == process:
            continue
        if attempt.run != run and last_begin.get(attempt.run, number) <= number:
            unwitnessed += 1
            if unwitnessed <= FORGIVEN:
                continue
        died.append(attempt)
    return died


def _lost(attempts: list[Attempt]) -> list[int]:
    last_of = {attempt.process: number for number, attempt in enumerate(attempts)}
    return [number for number in sorted(last_of.values()) if len(attempts[number].piece)]


def quarantined(died: list[Attempt]) -> set[int]:
    """Rows whose process died twice while it ran them alone."""
    times = Counter(attempt.piece.first for attempt in died if attempt.alone and len(attempt.piece) == 1)
    return {row for row, count in times.items() if count > 1}


def suspected(died: list[Attempt], max_attempts: int) -> bool:
    """Whether a shard killed so many processes that its rows are to be run alone."""
    return len(died) >= max(1, max_attempts - 1)


def pieces_to_run_alone(died: list[Attempt], rows: int, max_attempts: int) -> list[Piece]:
    """The pieces in which a suspected shard of `rows` rows is tried next, each alone, in this order.

    They hold every row once but those in quarantine. The halves of the last piece that died alone come first.
    Empty if the shard is not suspected, or if all its rows are in quarantine.
    """
    if not suspected(died, max_attempts):
        return []
    bad = quarantined(died)
    last = next((attempt.piece for attempt in reversed(died) if attempt.alone), Piece(0, rows))
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
