"""Which processes may be blamed on a row that ran alone, or on a whole shard.

The simulation keeps this ledger beside the protocol's own markers, to check them. A process has a claim on
what it runs from the moment it writes the marker of it until its next marker is in the store.
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
WHOLE = -1  # the number of the "row" that stands for a whole shard


class Claim:
    """What a process has on a row that it runs alone, or on a whole shard, until the step `ended`."""

    __slots__ = ("ended", "process")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.ended = NEVER


class BlameLedger:
    def __init__(self) -> None:
        self._claims: dict[str, list[tuple[int, Claim]]] = defaultdict(list)  # by shard, with the row
        self._causes: set[tuple[str, int]] = set()

    def claim(self, process: Process, shard: Shard, marker: Create) -> Claim | None:
        """The claim that begins with `marker`; None if its piece has no row, or several that run alone."""
        said: dict[str, Any] = orjson.loads(marker.data)
        first, end = said["piece"]["first"], said["piece"]["end"]
        if end == 0 or (said["alone"] and end - first != 1):
            return None
        claim = Claim(process)
        self._claims[shard.id].append((first if said["alone"] else WHOLE, claim))
        return claim

    def excused(self, shard: Shard, began: int) -> list[int]:
        """Rows that a try may quarantine, if it read the attempts between `began` and now."""
        processes = self._claiming(shard, began)
        return [row for row, claimed in processes.items() if len(claimed) > 1 and row != WHOLE]

    def claims_of_the_whole(self, shard: Shard, began: int) -> int:
        """How many processes a try may take for killed by the whole shard, as in `excused`."""
        return len(self._claiming(shard, began)[WHOLE])

    def _claiming(self, shard: Shard, began: int) -> dict[int, set[Process]]:
        processes: dict[int, set[Process]] = defaultdict(set)
        for row, claim in self._claims.get(shard.id, ()):
            if claim.ended >= began:
                processes[row].add(claim.process)
        return processes

    def quarantines(self, shard: Shard, rows: Iterable[int]) -> None:
        self._causes.update((shard.id, row) for row in rows)

    def had_cause(self, shard_id: str, row: int) -> bool:
        return (shard_id, row) in self._causes
