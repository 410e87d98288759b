"""How a replica runs a shard: beside others at first, and piece by piece alone once it is suspected.

Every try is counted in the store before it begins, so that a row that kills its process is found and
quarantined however often the process is started anew; see `pipeline.durable.attempts`.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

from pipeline.durable.attempts import (
    Attempt,
    Piece,
    count_attempt,
    pieces_to_run_alone,
    quarantined,
    read_attempts,
)
from pipeline.durable.protocol import Steps, execute
from pipeline.errors import RowErrorCode
from pipeline.reading.plan import Shard
from pipeline.storage.store import Store
from pipeline.tasks import Outcome

# So many in one shard are not the rows' fault: the model or the machine is broken.
_MOST_QUARANTINED = 8

Row = TypeVar("Row")
Returned = TypeVar("Returned")


class ShardRunner(Generic[Row]):
    def __init__(self, store: Store, max_attempts: int, run_row: Callable[[Row], Awaitable[Outcome]]) -> None:
        self._store = store
        self._max_attempts = max_attempts
        self._run_row = run_row
        self._process = uuid.uuid4().hex
        self._turnstile = Turnstile()

    async def run(self, shard: Shard, rows: Sequence[Row]) -> list[Outcome]:
        """One outcome a row, in their order; quarantined rows are errors WORKER_CRASH.

        RuntimeError if so many rows of the shard killed their process that it can't be the rows.
        """
        attempts = await self._execute(read_attempts(shard))
        bad = quarantined(attempts)
        if len(bad) > _MOST_QUARANTINED:
            raise RuntimeError(
                f"{len(bad)} rows of shard {shard.id} killed the process that ran them alone: "
                "look for the cause in the model or the machine, see the logs of the replicas"
            )
        crash = Outcome(
            RowErrorCode.WORKER_CRASH.value, "running this row alone killed the process of the model, twice"
        )
        outcomes: dict[int, Outcome] = dict.fromkeys(bad, crash)
        alone = pieces_to_run_alone(attempts, len(rows), self._max_attempts)
        pieces = alone or ([] if len(bad) == len(rows) else [Piece(0, len(rows))])
        number = len(attempts)

        async def count(piece: Piece) -> int:
            attempt = Attempt(piece, self._process, alone=bool(alone))
            return await self._execute(count_attempt(shard, attempt, number))

        for piece in pieces:
            async with self._turnstile.alone() if alone else self._turnstile.beside():
                number = await count(piece)
                tried = range(piece.first, piece.end)
                results = await asyncio.gather(*(self._run_row(rows[row]) for row in tried))
                outcomes.update(zip(tried, results, strict=True))
        if alone:
            await count(Piece(0, 0))
        return [outcomes[row] for row in range(len(rows))]

    async def _execute(self, steps: Steps[Returned]) -> Returned:
        return await asyncio.to_thread(execute, steps, self._store)


class Turnstile:
    """Lets many through together, or one alone; who waits to be alone goes before who comes later."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._inside = 0
        self._waiting_to_be_alone = 0

    @asynccontextmanager
    async def beside(self) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: self._inside >= 0 and not self._waiting_to_be_alone)
            self._inside += 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        async with self._changed:
            self._waiting_to_be_alone += 1
            try:
                await self._changed.wait_for(lambda: self._inside == 0)
                self._inside = -1
            finally:
                self._waiting_to_be_alone -= 1
        try:
            yield
        finally:
            async with self._changed:
                self._inside = 0
                self._changed.notify_all()
