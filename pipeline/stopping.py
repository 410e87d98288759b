"""How a job stops when it is asked to: no shard begins, what is finished is committed, the rest is given up.

SIGTERM or Ctrl-C closes the gate before which shards stand; the replicas then write down that they gave up
their shards, so that an interruption never counts as a death, and the driver leaves once the commits under
way have arrived. A second signal leaves at once.

While a job plans, and while it adds up, nothing is under way: then the first signal leaves at once.
"""

import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.durable.operations import execute
from pipeline.durable.protocol import part_path
from pipeline.durable.trying import give_up
from pipeline.errors import Interrupted
from pipeline.gate import SECONDS_TO_GIVE_UP
from pipeline.reading.plan import Shard
from pipeline.storage.store import Store

_SECONDS_TO_COMMIT = 15.0  # spot machines and Kubernetes leave a process at least 30, for the report too
_SECONDS_TO_LEAVE = 10.0  # for what the block does on its way out
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into Interrupted, wherever the block is; in the main thread, as below.

    What is raised there is no Exception, so that nothing in between takes it for a failure to be retried.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with _handled_by(signal.default_int_handler):
        try:
            yield
        except (KeyboardInterrupt, SystemExit):  # ray.init has SIGTERM answered with the latter
            raise Interrupted from None


@contextmanager
def stopping_on_signals(
    gate: Any, shards: Iterable[Shard], committed: Container[str], store: Store
) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into Interrupted, once the commits under way are among the `committed` parts.

    `shards` are those that run; one whose commit does not arrive in time is given up in the store.

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
        try:
            _finish_commits(gate, shards, committed, store)
        finally:
            # Again, should it be lost: Python drops what is raised while an object is being deleted.
            while not ended.is_set():
                with ending:
                    if not ended.is_set():
                        assert main.ident is not None
                        signal.pthread_kill(main.ident, signal.SIGTERM)
                ended.wait(_SECONDS_TO_LEAVE)

    with _handled_by(stop):
        try:
            yield
        finally:
            with ending:
                ended.set()


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _finish_commits(gate: Any, shards: Iterable[Shard], committed: Container[str], store: Store) -> None:
    deadline = time.monotonic() + _SECONDS_TO_COMMIT
    try:
        passed: dict[str, str] = ray.get(gate.close.remote(SECONDS_TO_GIVE_UP), timeout=_SECONDS_TO_COMMIT)
    except RayError:
        return  # the cluster is gone, and with it all that was under way
    parts = {part_path(shard): shard for shard in shards}
    late = {part: parts[part] for part in passed if part not in committed}

    def note(shard: Shard, process: str) -> None:
        with suppress(OSError):  # a store that fails now may blame the shard once
            execute(give_up(shard, process), store)

    # At once, not when time is up: it would be too short then.
    notes = [
        threading.Thread(target=note, args=(shard, passed[part]), daemon=True) for part, shard in late.items()
    ]
    for thread in notes:
        thread.start()
    while time.monotonic() < deadline and any(part not in committed for part in late):
        time.sleep(0.05)
    for thread in notes:
        thread.join(max(0.0, deadline - time.monotonic()))
