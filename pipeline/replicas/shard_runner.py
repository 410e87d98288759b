"""How a replica runs a shard: `pipeline.durable.try_shard` yields the steps, and this executes them.

Shards run beside each other, but one that is suspected to kill its process waits until it is alone.
"""

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Generic, TypeVar

from pipeline.durable.operations import apply, execute
from pipeline.durable.try_shard import Enter, Run, TryShard, give_up
from pipeline.errors import RowErrorCode
from pipeline.row_requests import Outcome
from pipeline.shards.shard import Shard
from pipeline.storage.store import Store

Row = TypeVar("Row")
# Awaited with the outcomes of rows that have just run, by their number in the shard, before the next step.
AfterRows = Callable[[Mapping[int, Outcome]], Awaitable[None]]


class ShardRunner(Generic[Row]):
    def __init__(
        self,
        store: Store,
        try_shard: TryShard,
        max_attempts: int,
        run_rows: Callable[[Sequence[Row]], Awaitable[list[Outcome]]],
    ) -> None:
        self._store = store
        self._try_shard = try_shard
        self._max_attempts = max_attempts
        self._run_rows = run_rows
        self.process = f"{socket.gethostname()}:{uuid.uuid4().hex}"
        self._turnstile = Turnstile()

    async def run(
        self, shard: Shard, rows: Sequence[Row], after_rows: AfterRows | None = None
    ) -> list[Outcome]:
        """One outcome a row, in their order; quarantined rows are errors WORKER_CRASH.

        If the process dies in `after_rows`, the rows that have just run are to blame, as if it died in them.
        JobError if the shard killed so many processes that its rows cannot be the cause.
        """
        outcomes: dict[int, Outcome] = {}
        steps = self._try_shard(shard, self.process, self._max_attempts)
        result: Any = None
        async with AsyncExitStack() as until_done:
            while True:
                try:
                    step = steps.send(result)
                except StopIteration as stop:
                    bad: set[int] = stop.value
                    break
                if isinstance(step, Enter):
                    entry = self._turnstile.alone() if step.alone else self._turnstile.beside()
                    result = await until_done.enter_async_context(entry)
                elif isinstance(step, Run):
                    results = await self._run_rows([rows[row] for row in step.rows])
                    ended = dict(zip(step.rows, results, strict=True))
                    if after_rows is not None:
                        await after_rows(ended)
                    outcomes.update(ended)
                else:
                    result = await asyncio.to_thread(apply, step, self._store)
        crash = Outcome(
            RowErrorCode.WORKER_CRASH.value, "running this row alone killed the process of the model, twice"
        )
        return [crash if row in bad else outcomes[row] for row in range(len(rows))]

    async def give_up(self, shard: Shard) -> None:
        """Note in the store that `run` was cancelled: if this process dies now, the shard is not blamed."""
        await asyncio.to_thread(execute, give_up(shard, self.process), self._store)


class Turnstile:
    """Lets many in together, or one alone. Those that come while one waits to be alone come in after it."""

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
