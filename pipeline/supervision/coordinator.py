"""The gate: an actor in the cluster that outlives the replicas, and before which they stand.

A shard asks it before it is run and before it is committed, so that a job can be stopped with nothing under
way. It also counts how often each replica is started.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.supervision.watchdog import Watchdog

SECONDS_TO_GIVE_UP = 10.0  # a replica that died in a shard never says that it gave it up
_SECONDS_TO_CLOSE = 2.0
_DEADLINE = 8.0  # seconds without progress after which a stopped gate is killed


class Gate:
    """An actor; `open_gate` starts it. Its answers are False once it is closed."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self._left = asyncio.Condition()
        self._running: dict[str, str] = {}  # part of a shard that a replica has -> its process
        self._replicas: dict[str, str] = {}  # process -> the replica that it is
        self._committing: dict[str, str] = {}  # part let through to its commit -> the process that ran it
        self._started_on: dict[str, list[str]] = defaultdict(list)  # replica -> machines since it was ready

    async def start(self, replica: str, machine: str) -> list[str]:
        """A process of a replica has begun; the machines of those before it that never became ready."""
        for part, process in list(self._running.items()):
            if self._replicas.get(process) == replica:  # it died in this shard, and did not give it up
                await self._leave(part, process)
        died_on = list(self._started_on[replica])
        self._started_on[replica].append(machine)
        return died_on

    async def ready(self, replica: str) -> None:
        """A replica's process can take shards."""
        self._started_on.pop(replica, None)

    async def watch(self, deadline: float) -> None:
        """Until the gate closes, have this process killed once it stands still for `deadline` seconds."""
        watchdog = Watchdog(deadline)
        while not self._closing.is_set():
            watchdog.progressed()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), deadline / 4)
        watchdog.stop()

    async def begin(self, part: str, process: str, replica: str) -> bool:
        """A shard, which would become `part`, asks to be run by `process`, which is that replica now."""
        if self._closing.is_set():
            return False
        self._committing.pop(part, None)  # its commit was lost with what ran it
        self._running[part] = process
        self._replicas[process] = replica
        return True

    async def commit(self, part: str, process: str) -> bool:
        """A finished shard asks to be committed as `part`; `process` ran it."""
        if self._closing.is_set():
            return False
        self._committing[part] = process
        await self._leave(part, process)
        return True

    async def give_up(self, part: str, process: str) -> None:
        """A shard that was running will not be finished."""
        await self._leave(part, process)

    async def closed(self) -> None:
        """Returns when the gate closes."""
        await self._closing.wait()

    async def close(self, seconds: float) -> tuple[dict[str, str], dict[str, str]]:
        """Close, and wait at most so long for what runs to be given up.

        Returns the parts whose shards have not been, and those that were let through to their commit; each
        with the process that ran it.
        """
        self._closing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._left:
                await self._left.wait_for(lambda: not self._running)
        return self._running, self._committing

    async def _leave(self, part: str, process: str) -> None:
        async with self._left:
            if self._running.get(part) == process:
                del self._running[part]
            self._left.notify_all()


@contextmanager
def open_gate() -> Iterator[Any]:
    """The handle of a gate on this node, until the block ends.

    Started anew after its death it is open and has forgotten all: a stop then waits for less, and commits
    under way may count as deaths.
    """
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    gate = (
        ray.remote(Gate)
        .options(
            num_cpus=0,
            max_concurrency=100_000,
            scheduling_strategy=here,
            max_restarts=-1,
            max_task_retries=-1,
        )
        .remote()
    )
    watched = gate.watch.remote(_DEADLINE)
    try:
        yield gate
    finally:
        with suppress(RayError):  # it may stand still
            # Nobody is left waiting for it.
            ray.get([gate.close.remote(0.0), watched], timeout=_SECONDS_TO_CLOSE)
        with suppress(RayError):  # Ray may be gone
            ray.kill(gate)
