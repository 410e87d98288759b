"""What the world knows of rows run alone, and of whole shards: who took them up, and who got past them.

A process takes one up when it tells the store so, and is past it once the store knows what comes next.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson

from pipeline.durable.operations import Create
from pipeline.shards.shard import Shard
from tests.simulation.actors import Process

NEVER = 1 << 60
FOLDER = "_job/attempts/"
WHOLE = -1  # in the place of a row


class Stand:
    """A process at a row that it took up alone, or at a whole shard, until `left`."""

    __slots__ = ("left", "process")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.left = NEVER


class Evidence:
    def __init__(self) -> None:
        self._stands: dict[str, list[tuple[int, Stand]]] = defaultdict(list)  # by shard, with the row
        self._causes: set[tuple[str, int]] = set()

    def takes_up(self, process: Process, shard: Shard, marker: Create) -> Stand | None:
        """The stand that begins when a process sets out to create a marker."""
        said: dict[str, Any] = orjson.loads(marker.data)
        first, end = said["piece"]["first"], said["piece"]["end"]
        if end == 0 or (said["alone"] and end - first != 1):
            return None
        stand = Stand(process)
        self._stands[shard.id].append((first if said["alone"] else WHOLE, stand))
        return stand

    def excused(self, shard: Shard, began: int) -> list[int]:
        """Rows that a process may hold for killers which looked at the attempts from `began` until now."""
        processes = self._standing(shard, began)
        return [row for row, stood in processes.items() if len(stood) > 1 and row != WHOLE]

    def stood_at_the_whole(self, shard: Shard, began: int) -> int:
        """Processes that may be held for killed by the whole shard, as in `excused`."""
        return len(self._standing(shard, began)[WHOLE])

    def _standing(self, shard: Shard, began: int) -> dict[int, set[Process]]:
        processes: dict[int, set[Process]] = defaultdict(set)
        for row, stand in self._stands.get(shard.id, ()):
            if stand.left >= began:
                processes[row].add(stand.process)
        return processes

    def quarantines(self, shard: Shard, rows: Iterable[int]) -> None:
        self._causes.update((shard.id, row) for row in rows)

    def had_cause(self, shard_id: str, row: int) -> bool:
        return (shard_id, row) in self._causes
