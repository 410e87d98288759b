"""Which processes may be blamed on a row that ran alone, or on a whole shard.

The simulation keeps this ledger beside the protocol's own markers, to check them. A process has a claim on
what it runs from the moment it writes the marker of it until its next marker is in the store. A claim counts
if its run outlived it: the run took the process for dead, or lost what it had finished, and gave the shard
away again. Of the claims that ended with their run, a few are forgiven each shard.
"""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import orjson

from pipeline.durable.attempts import FORGIVEN
from pipeline.durable.operations import Create
from pipeline.shards.shard import Shard
from tests.simulation.actors import Process, Trial

NEVER = 1 << 60
FOLDER = "_job/attempts/"
WHOLE = -1  # the number of the "row" that stands for a whole shard
PIECE = -2  # for several rows that run alone


class Claim:
    """What a process has on a row that it runs alone, or on a whole shard, until the step `ended`."""

    __slots__ = ("ended", "outlived", "process", "row")

    def __init__(self, process: Process, row: int, outlived: bool) -> None:
        self.process = process
        self.row = row
        self.outlived = outlived
        self.ended = NEVER


class BlameLedger:
    def __init__(self) -> None:
        self._claims: dict[str, list[Claim]] = defaultdict(list)  # by shard
        self._outlived: set[tuple[Process, str]] = set()  # with the shard
        self._causes: set[tuple[str, int]] = set()

    def claim(self, process: Process, shard: Shard, marker: Create) -> Claim | None:
        """The claim that begins with `marker`; None if its piece is empty."""
        said: dict[str, Any] = orjson.loads(marker.data)
        first, end = said["piece"]["first"], said["piece"]["end"]
        if end == 0:
            return None
        if process.run is None:  # whoever reads this later takes it for a try that the run has given away
            self.outlived(process, shard, process.origin)
        row = WHOLE if not said["alone"] else first if end - first == 1 else PIECE
        claim = Claim(process, row, (process, shard.id) in self._outlived)
        self._claims[shard.id].append(claim)
        return claim

    def outlived(self, process: Process, shard: Shard, run: str) -> None:
        """A run gives a shard away again, which `process` had last."""
        self._outlived.add((process, shard.id))
        for claim in self._claims.get(shard.id, ()):
            if claim.process.origin == run:
                claim.outlived = True
                self._outlived.add((claim.process, shard.id))

    def excused(self, trial: Trial) -> list[int]:
        """Rows that a try may quarantine, which has read the attempts since it began."""
        rows = {claim.row for claim in self._claims.get(trial.shard.id, ()) if claim.row >= 0}
        return [row for row in rows if self.deaths_at_most(trial, row) > 1]

    def deaths_at_most(self, trial: Trial, row: int | None = None) -> int:
        """How many processes a try may take for killed by `row`, or by anything of the shard.

        A process that its run takes for dead does not know that, and takes its successor for dead.
        """
        me = trial.process
        left = [claim for claim in self._claims.get(trial.shard.id, ()) if claim.ended >= trial.began]
        here = [claim for claim in left if row in (None, claim.row)]
        taken = {claim.process for claim in here if me.run is None and claim.process.origin == me.origin}
        outlived = {claim.process for claim in here if claim.outlived} | taken - {me}
        beyond = len({claim.process for claim in left}) - FORGIVEN
        return min(len({claim.process for claim in here}), len(outlived) + max(0, beyond))

    def quarantines(self, shard: Shard, rows: Iterable[int]) -> None:
        self._causes.update((shard.id, row) for row in rows)

    def had_cause(self, shard_id: str, row: int) -> bool:
        return (shard_id, row) in self._causes
