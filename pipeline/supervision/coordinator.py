"""The coordinator: an actor, one a run, that knows which replica has which shard.

A replica asks it before it runs a shard and before it hands the finished shard on to its commit. Once the
coordinator is closed it answers no, so that a run can be stopped with no shard in flight. It also counts how
often each replica is started.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.cluster.ray_calls import NoAnswer, ask
from pipeline.supervision.stop_budget import SECONDS_TO_LEAVE
from pipeline.supervision.watchdog import Watchdog

_SECONDS_TO_CLOSE = 2.0
_DEADLINE = 8.0  # seconds without progress after which the coordinator is killed


class Coordinator:
    """`start_coordinator` starts it as an actor. A shard is called by the path of the part it becomes.

    `begin` and `commit` return False once it is closed.
    """

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self._fewer_running = asyncio.Condition()
        self._running: dict[str, str] = {}  # part -> process that runs its shard
        self._replicas: dict[str, str] = {}  # process -> replica whose incarnation it is
        self._committing: dict[str, str] = {}  # part that may be committed -> process that ran its shard
        self._started_on: dict[str, list[str]] = defaultdict(list)  # replica -> machines since it was ready

    async def start(self, replica: str, machine: str) -> list[str]:
        """A process of a replica has started.

        Returns the machines of its earlier processes that died before they were ready.
        """
        for part, process in list(self._running.items()):
            if self._replicas.get(process) == replica:  # an earlier process, which died with this shard
                await self._stop_running(part, process)
        died_on = list(self._started_on[replica])
        self._started_on[replica].append(machine)
        return died_on

    async def ready(self, replica: str) -> None:
        """The current process of a replica can run shards."""
        self._started_on.pop(replica, None)

    async def watch(self, deadline: float) -> None:
        """Until it closes, have a watchdog kill this process if it hangs for `deadline` seconds."""
        watchdog = Watchdog(deadline)
        while not self._closing.is_set():
            watchdog.progressed()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), deadline / 4)
        watchdog.stop()

    async def begin(self, part: str, process: str, replica: str) -> bool:
        """May `process` run the shard of `part`? `process` is the replica's current incarnation."""
        if self._closing.is_set():
            return False
        self._committing.pop(part, None)  # an earlier run of the shard was lost before its commit
        self._running[part] = process
        self._replicas[process] = replica
        return True

    async def commit(self, part: str, process: str) -> bool:
        """May the shard, which `process` has finished, be committed as `part`?"""
        if self._closing.is_set():
            return False
        self._committing[part] = process
        await self._stop_running(part, process)
        return True

    async def give_up(self, part: str, process: str) -> None:
        """`process` will not finish the shard."""
        await self._stop_running(part, process)

    async def closed(self) -> None:
        """Returns once it is closed."""
        await self._closing.wait()

    async def close(self, seconds: float) -> tuple[dict[str, str], dict[str, str]]:
        """Close, and wait at most `seconds` for the replicas to give up the shards that they run.

        Returns the parts of shards that nobody gave up, and the parts that may be committed; each with the
        process that ran its shard.
        """
        self._closing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._fewer_running:
                await self._fewer_running.wait_for(lambda: not self._running)
        return self._running, self._committing

    async def _stop_running(self, part: str, process: str) -> None:
        async with self._fewer_running:
            if self._running.get(part) == process:
                del self._running[part]
            self._fewer_running.notify_all()


@contextmanager
def start_coordinator() -> Iterator[Any]:
    """The handle of a coordinator on this node, which lives until the block ends.

    If it dies, Ray starts another, which is open and knows nothing of its predecessor. A stop then does not
    wait for shards that began before, and their commits may count as deaths.
    """
    coordinator, watched = ask(_start, what="the start of the coordinator")
    try:
        yield coordinator
    finally:
        with suppress(NoAnswer):  # the call goes on in its thread
            ask(lambda: _end(coordinator, watched), SECONDS_TO_LEAVE / 2, what="the end of the coordinator")


def _start() -> tuple[Any, Any]:
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    coordinator = (
        ray.remote(Coordinator)
        .options(
            num_cpus=0,
            max_concurrency=100_000,
            scheduling_strategy=here,
            max_restarts=-1,
            max_task_retries=-1,
        )
        .remote()
    )
    return coordinator, coordinator.watch.remote(_DEADLINE)


def _end(coordinator: Any, watched: Any) -> None:
    with suppress(RayError):  # it may hang
        # Closing it ends the calls of `closed` that replicas wait for.
        ray.get([coordinator.close.remote(0.0), watched], timeout=_SECONDS_TO_CLOSE)
    with suppress(RayError):  # Ray may be gone
        ray.kill(coordinator)
