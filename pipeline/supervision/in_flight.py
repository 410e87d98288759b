"""The shards that are with replicas, or between a replica and their commit, when a run ends before its time.

Each has a marker in the store that would count as a death if its process ended now (`pipeline.durable`). So
who ends a run notes that they were given up: a stop, a full disk or a lost store is not their rows' fault.
"""

import threading
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.durable.commit import part_path
from pipeline.durable.operations import execute
from pipeline.durable.try_shard import give_up
from pipeline.shards.shard import Shard
from pipeline.storage.store import Store
from pipeline.supervision.coordinator import SECONDS_TO_GIVE_UP

_SECONDS_TO_COMMIT = 15.0  # spot machines and Kubernetes leave a process at least 30, for the report too
_SECONDS_TO_NOTE = 10.0
_SECONDS_TO_HEAR = 1.0  # until replicas that are still there know that the job failed


class UnderWay:
    """What a run has begun: `shards` are all its shards, `committed` the parts that have come so far.

    `gate` is the handle of a `pipeline.supervision.coordinator.Gate`.
    """

    def __init__(self, gate: Any, shards: Sequence[Shard], committed: Container[str], store: Store) -> None:
        self._gate = gate
        self._shards = shards
        self._committed = committed
        self._store = store

    def finish(self) -> None:
        """Let no shard begin; wait for the commits under way, and for replicas to give up the rest."""
        deadline = time.monotonic() + _SECONDS_TO_COMMIT
        try:
            closing = self._gate.close.remote(SECONDS_TO_GIVE_UP)
            running, committing = ray.get(closing, timeout=_SECONDS_TO_COMMIT)
        except RayError:
            return  # the cluster is gone, and with it all that was under way, or the gate stands still
        # At once, not when time is up: it would be too short then.
        notes = self._note(running | committing)
        while time.monotonic() < deadline and any(part not in self._committed for part in committing):
            time.sleep(0.05)
        for note in notes:
            note.join(max(0.0, deadline - time.monotonic()))

    @contextmanager
    def unblamed(self) -> Iterator[None]:
        """A job that fails in the block is not the fault of the shards that are under way."""
        try:
            yield
        except Exception:
            deadline = time.monotonic() + _SECONDS_TO_NOTE
            with suppress(RayError):
                running, committing = ray.get(
                    self._gate.close.remote(_SECONDS_TO_HEAR), timeout=_SECONDS_TO_NOTE
                )
                for note in self._note(running | committing):
                    note.join(max(0.0, deadline - time.monotonic()))
            raise

    def _note(self, processes: Mapping[str, str]) -> list[threading.Thread]:
        """Give up the shards of these parts, each run by the process given, unless they are committed."""

        def note(shard: Shard, process: str) -> None:
            with suppress(OSError):  # a store that fails now may blame the shard once
                execute(give_up(shard, process), self._store)

        left = {part: process for part, process in processes.items() if part not in self._committed}
        threads = []
        for shard in self._shards if left else ():
            process = left.pop(part_path(shard), None)
            if process is not None:
                threads.append(threading.Thread(target=note, args=(shard, process), daemon=True))
                threads[-1].start()
                if not left:
                    break
        return threads
