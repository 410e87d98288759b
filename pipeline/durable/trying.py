"""How a process tries a shard: beside others at first, and piece by piece alone once it is suspected.

Every try is counted in the store before it begins, so that a row that kills its process is found and
quarantined however often the process is started anew; see `attempts`. Like the protocol's, the steps are a
generator, so the simulator kills the very code that replicas run.
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from pipeline.durable.attempts import (
    Attempt,
    Piece,
    count_attempt,
    pieces_to_run_alone,
    quarantined,
    read_attempts,
)
from pipeline.durable.protocol import Operation
from pipeline.errors import JobError
from pipeline.reading.plan import Shard

# So many in one shard are not the rows' fault: the model or the machine is broken.
_MOST_QUARANTINED = 8


@dataclass(frozen=True)
class Enter:
    """Wait until the process may run this shard beside others, or alone, and keep it so to the try's end.

    A shard that left between two of its pieces could be blamed for a neighbour that kills the process.
    """

    alone: bool


@dataclass(frozen=True)
class Run:
    """Run these rows to their end."""

    piece: Piece


def try_shard(
    shard: Shard, process: str, max_attempts: int
) -> Generator[Operation | Enter | Run, Any, set[int]]:
    """Runs every row of a shard but those quarantined, and returns these, counted from its first row.

    Once `max_attempts` was raised, a shard may count as unsuspected again: then all its rows are run.
    JobError if so many rows killed their process that it can't be the rows.
    """
    attempts = yield from read_attempts(shard)
    bad = quarantined(attempts)
    if len(bad) > _MOST_QUARANTINED:
        raise JobError(
            f"{len(bad)} rows of shard {shard.id} killed the process that ran them alone: "
            "look for the cause in the model or the machine, see the logs of the replicas"
        )
    number = len(attempts)
    suspected = pieces_to_run_alone(attempts, shard.rows, max_attempts)
    if suspected:
        yield Enter(alone=True)
        for piece in suspected:
            number = yield from count_attempt(shard, Attempt(piece, process, alone=True), number)
            yield Run(piece)
        yield from count_attempt(shard, Attempt(Piece(0, 0), process, alone=True), number)
    elif len(bad) < shard.rows:
        yield Enter(alone=False)
        whole = Piece(0, shard.rows)
        yield from count_attempt(shard, Attempt(whole, process, alone=False), number)
        yield Run(whole)
        return set()
    return bad
