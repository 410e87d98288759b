"""How a job stops when it is asked to: no shard begins, what is finished is committed, the rest is given up.

A gate in the cluster stands before every shard and before every commit. SIGTERM or Ctrl-C closes it; the
replicas then write down that they gave up their shards, so that an interruption never counts as a death, and
the driver leaves once the commits under way have arrived. A second signal leaves at once.

While a job plans, and while it adds up, nothing is under way: then the first signal leaves at once.
"""

import asyncio
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from pipeline.errors import Interrupted

_SECONDS_TO_GIVE_UP = 10.0  # a replica that died in a shard never says that it gave it up
_SECONDS_TO_COMMIT = 20.0  # spot machines and Kubernetes leave a process at least 30
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Gate:
    """An actor; `open_gate` starts it. Its answers are False once it is closed."""

    def __init__(self) -> None:
        self._closing = asyncio.Event()
        self._left = asyncio.Condition()
        self._running = 0  # shards in replicas
        self._committing = 0  # shards that were let through to their commit

    async def begin(self) -> bool:
        """A shard asks to be run."""
        if self._closing.is_set():
            return False
        self._running += 1
        return True

    async def commit(self) -> bool:
        """A finished shard asks to be committed."""
        if self._closing.is_set():
            return False
        self._committing += 1
        await self._leave()
        return True

    async def give_up(self) -> None:
        """A shard that was running will not be finished."""
        await self._leave()

    async def closed(self) -> None:
        """Returns when the gate closes."""
        await self._closing.wait()

    async def close(self, seconds: float) -> int:
        """Close, and wait at most so long for what runs to be given up; how many passed to their commit."""
        self._closing.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds), self._left:
                await self._left.wait_for(lambda: self._running <= 0)
        return self._committing

    async def _leave(self) -> None:
        async with self._left:
            self._running -= 1
            self._left.notify_all()


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into Interrupted, wherever the block is; in the main thread, as below.

    What is raised there is no Exception, so that nothing in between takes it for a failure to be retried.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, signal.default_int_handler) for number in _SIGNALS}
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # ray.init has SIGTERM answered with the latter
        raise Interrupted from None
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def open_gate() -> Iterator[Any]:
    """The handle of a gate on this node, until the block ends.

    Started anew after its death it is open and has forgotten its counts: at worst a stop waits for less.
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
    try:
        yield gate
    finally:
        with suppress(RayError):  # Ray may be gone
            ray.get(gate.close.remote(0.0), timeout=_SECONDS_TO_GIVE_UP)  # nobody is left waiting for it
            ray.kill(gate)


@contextmanager
def stopping_on_signals(gate: Any, committed: Callable[[], int]) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into Interrupted, once the commits under way are `committed`.

    Handlers can be set in a process' main thread only; elsewhere this does nothing. Enter it after ray.init,
    which sets handlers of its own.
    """
    main = threading.main_thread()
    if threading.current_thread() is not main:
        yield
        return
    asked, ended, ending = threading.Event(), threading.Event(), threading.Lock()

    def stop(signum: int, frame: FrameType | None) -> None:
        if ended.is_set():
            return
        if asked.is_set():
            raise Interrupted(signal.Signals(signum).name)
        asked.set()
        threading.Thread(target=leave_in_order, name="stopping", daemon=True).start()

    def leave_in_order() -> None:
        print("stopping: the commits under way are finished first", file=sys.stderr, flush=True)
        _finish_commits(gate, committed)
        with ending:
            if not ended.is_set():
                assert main.ident is not None
                signal.pthread_kill(main.ident, signal.SIGTERM)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        with ending:
            ended.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def _finish_commits(gate: Any, committed: Callable[[], int]) -> None:
    deadline = time.monotonic() + _SECONDS_TO_COMMIT
    try:
        passed = ray.get(gate.close.remote(_SECONDS_TO_GIVE_UP), timeout=_SECONDS_TO_COMMIT)
    except RayError:
        return  # the cluster is gone, and with it all that was under way
    while committed() < passed and time.monotonic() < deadline:
        time.sleep(0.05)
