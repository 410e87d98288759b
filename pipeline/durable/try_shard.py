"""How a process tries a shard: whole at first; once it is suspected, in pieces that run alone.

Every try is counted in the store before it begins, so that a row that kills its process is found and
quarantined however often the process is restarted; see `attempts`. The steps are a generator like the rest
of the protocol, so that the simulator runs the very code of the replicas.

There are two ways. `try_shard` keeps batches full: shards run beside each other, and the results of a piece
are published. With `try_shard_deterministic`, what is published depends only on the shard and its quarantined
rows.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from pipeline.config.errors import MAX_CRASHED_ROWS
from pipeline.durable.attempts import (
    FOLDER,
    Attempt,
    Piece,
    count_attempt,
    deaths,
    pieces_to_run_alone,
    quarantined,
    read_attempts,
    suspected,
)
from pipeline.durable.operations import Operation, Steps
from pipeline.errors import JobError
from pipeline.shards.shard import Shard


@dataclass(frozen=True)
class Enter:
    """Wait until the process may run this shard beside others, or alone; it holds until the try ends.

    If it ended between two pieces, another shard could run meanwhile, kill the process, and this one would be
    blamed.
    """

    alone: bool


@dataclass(frozen=True)
class Run:
    """Run these rows together to their end; if a row is run again, its last outcome counts."""

    rows: tuple[int, ...]  # counted from the shard's first


Try = Generator[Operation | Enter | Run, Any, set[int]]
TryShard = Callable[[Shard, str, int], Try]

# Deaths of rows that ran together, beyond max_attempts, after which `try_shard_deterministic` gives them up.
# Kills from outside would have to hit so many runs of one shard and let none of them through in between.
TRIES_TOGETHER = 8


def try_shard(
    shard: Shard, process: str, max_attempts: int, *, run: str, max_crashed_rows: int = MAX_CRASHED_ROWS
) -> Try:
    """Runs every row of a shard but those in quarantine; returns the latter, counted from its first row.

    `run` is the run of the job to which `process` belongs. A higher `max_attempts` than before may clear a
    suspected shard: then all its rows are run. JobError if more than `max_crashed_rows` are in quarantine.
    """
    attempts = yield from read_attempts(shard)
    died = deaths(attempts, process, run)
    if not suspected(died, max_attempts):
        yield Enter(alone=False)
        yield from count_attempt(shard, _whole(shard, process, run), len(attempts))
        yield Run(tuple(range(shard.rows)))
        return set()
    bad = _quarantined_few(died, shard, max_crashed_rows)
    if pieces := pieces_to_run_alone(died, shard.rows, max_attempts):
        yield Enter(alone=True)
        number = yield from _run_alone(pieces, shard, process, run, len(attempts))
        yield from _mark_done(shard, process, number)
    return bad


def try_shard_deterministic(
    shard: Shard, process: str, max_attempts: int, *, run: str, max_crashed_rows: int = MAX_CRASHED_ROWS
) -> Try:
    """Like `try_shard`, but at the end all rows that are not in quarantine run together, and with no others.

    The pieces only serve to find the row that kills. JobError also if the process died max_attempts and
    TRIES_TOGETHER times while the rows ran together: then no single row is to blame. Deaths in pieces do not
    count for that, and once all pieces have run through, each death comes of the rows together: so a shard
    that kills whenever they run costs log2(rows) deaths more, rounded up, and ends.
    """
    attempts = yield from read_attempts(shard)
    died = deaths(attempts, process, run)
    bad: set[int] = set()
    if suspected(died, max_attempts):
        bad = _quarantined_few(died, shard, max_crashed_rows)
    together = tuple(row for row in range(shard.rows) if row not in bad)
    if not together:
        return bad
    times = sum(not attempt.alone for attempt in died)
    if times >= max_attempts + TRIES_TOGETHER:
        raise JobError(
            f"the rows of shard {shard.id} killed their process {times} times when they ran together, though "
            "not in pieces: if the processes were killed from outside, raise errors.max_attempts and go on; "
            "if not, look for the cause in the logs of the replicas, or give the job another output.path and "
            "a smaller input.shard_rows or engine.max_batch_rows, or engine.deterministic: none"
        )
    yield Enter(alone=True)
    pieces = pieces_to_run_alone(died, shard.rows, max_attempts)
    number = yield from _run_alone(pieces, shard, process, run, len(attempts))
    number = yield from count_attempt(shard, _whole(shard, process, run), number)
    yield Run(together)
    yield from _mark_done(shard, process, number)
    return bad


def give_up(shard: Shard, process: str) -> Steps[None]:
    """Note that a process has given up its try of this shard, so that its end does not count as a death.

    The note is written even if the store has no marker of the try: the marker may still be on its way.
    """
    attempts = yield from read_attempts(shard)
    yield from _mark_done(shard, process, len(attempts))


def _quarantined_few(died: list[Attempt], shard: Shard, most: int) -> set[int]:
    """The rows in quarantine; JobError if they are more than `most`."""
    bad = quarantined(died)
    if len(bad) > most:
        raise JobError(
            f"{len(bad)} rows of shard {shard.id} killed the process that ran them alone, the last time "
            f"{died[-1].process}: look for the cause in the logs of the replicas. If it is the "
            "rows, raise errors.max_crashed_rows and run the same command again; if it was the model or that "
            f"machine, mend it and remove {FOLDER}/{shard.id}-* first"
        )
    return bad


def _whole(shard: Shard, process: str, run: str) -> Attempt:
    return Attempt(Piece(0, shard.rows), process, alone=False, run=run)


def _run_alone(
    pieces: list[Piece], shard: Shard, process: str, run: str, number: int
) -> Generator[Operation | Run, Any, int]:
    for piece in pieces:
        attempt = Attempt(piece, process, alone=True, run=run)
        number = yield from count_attempt(shard, attempt, number)
        yield Run(tuple(range(piece.first, piece.end)))
    return number


def _mark_done(shard: Shard, process: str, number: int) -> Generator[Operation, Any, None]:
    yield from count_attempt(shard, Attempt(Piece(0, 0), process, alone=True), number)
