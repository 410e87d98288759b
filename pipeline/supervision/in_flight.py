"""The shards that a replica runs, or that are on their way to their commit, when a run ends early.

Each has a marker in the store that would count as a death if its process ended now (`pipeline.durable`). So a
run that is stopped, or that fails, notes that it gave them up: a stop, a full disk or a lost store is not the
fault of their rows.
"""

import threading
import time
from collections.abc import Container, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayError

from pipeline.cluster.ray_calls import NoAnswer, ask
from pipeline.durable.commit import part_path
from pipeline.durable.operations import execute
from pipeline.durable.try_shard import give_up
from pipeline.errors import JobError
from pipeline.shards.shard import Shard
from pipeline.storage.store import Store
from pipeline.supervision.stop_budget import SECONDS_TO_COMMIT, SECONDS_TO_GIVE_UP

_SECONDS_TO_NOTE = 10.0
_SECONDS_TO_HEAR = 1.0  # for the replicas that are still alive to give up their shards


class InFlightShards:
    """Those of one run: `shards` are all that it has to run, `committed` the parts that it has committed.

    `committed` grows meanwhile. `coordinator` is the handle of a `Coordinator`.
    """

    def __init__(
        self, coordinator: Any, shards: Sequence[Shard], committed: Container[str], store: Store
    ) -> None:
        self._coordinator = coordinator
        self._shards = shards
        self._committed = committed
        self._store = store

    def finish(self) -> None:
        """Let no shard begin; wait for the commits in flight, and for replicas to give up the rest."""
        deadline = time.monotonic() + SECONDS_TO_COMMIT
        try:
            running, committing = self._close(SECONDS_TO_GIVE_UP, SECONDS_TO_COMMIT)
        except (RayError, NoAnswer):
            return  # the cluster is gone with all shards in flight, or stands still
        # Noted before the wait for the commits: after it there may be no time left.
        notes = self._note(running | committing)
        while time.monotonic() < deadline and any(part not in self._committed for part in committing):
            time.sleep(0.05)
        for note in notes:
            note.join(max(0.0, deadline - time.monotonic()))

    @contextmanager
    def release_on_failure(self) -> Iterator[None]:
        """If the block raises, note that the shards in flight were given up: they are not to blame."""
        try:
            yield
        except Exception:
            deadline = time.monotonic() + _SECONDS_TO_NOTE
            with suppress(RayError, NoAnswer):
                running, committing = self._close(_SECONDS_TO_HEAR, _SECONDS_TO_NOTE)
                for note in self._note(running | committing):
                    note.join(max(0.0, deadline - time.monotonic()))
            raise

    def _close(self, to_give_up: float, seconds: float) -> tuple[dict[str, str], dict[str, str]]:
        """What the coordinator's `close` returns, within `seconds`."""

        def close() -> Any:
            return ray.get(self._coordinator.close.remote(to_give_up), timeout=seconds)

        running, committing = ask(close, seconds, what="which shards are in flight")
        return running, committing

    def _note(self, processes: Mapping[str, str]) -> list[threading.Thread]:
        """Note for each part that is not committed that its process gave up the shard; one thread a note.

        `processes` maps the part to the process that ran its shard.
        """

        def note(shard: Shard, process: str) -> None:
            with suppress(OSError, JobError):  # without the note the shard may be blamed for one death
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
