"""What a reader of the output may rely on, at any moment and at the end, without the protocol's code.

At any moment, of the files that can be listed:
- none ever changes, and a part is complete from the moment it can be seen;
- a plan file is there only after those before it; it names no row that one of them names, and its ordinals go
  on after theirs;
- each part is that of a shard of the plan, under the one name that the shard's part has; its rows are the
  planned ones, each once, and the router table that it names is there with the named content;
- a row that kills its process is in a part as WORKER_CRASH only, and another row is so only where the
  schedule gave cause: two processes had begun to run it alone, and the store had no later marker of either.
  Such a process was killed at that row (the machine failed there twice), or still runs it, which only a
  process of another run, or one that its run takes for dead, can do. The store knows no more of a process,
  so no protocol can promise more without asking the process itself;
- the _SUCCESS of a plan file is there only if every part of it is, and it names the content of each and no
  other: a job that has one for each of its plan files is complete.

After an undisturbed run every planned row is there and so is each _SUCCESS, and if it was to extend the job,
each input file is planned.
"""

import hashlib
import math
from collections.abc import Callable, Iterable

import orjson

from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from tests.simulation.hostile_store import Change, HostileStore
from tests.simulation.small_jobs import CRASHED, JOBS, PLAN_OF, PLANS, Job

_JOB_OF = {job.spec["checkpoint"]: job for job in JOBS}


class ViolationError(AssertionError):
    """The reader was let down."""


def require(condition: object, message: str) -> None:
    if not condition:
        raise ViolationError(message)


class Reader:
    """`poison` are the rows that kill; `had_cause(shard, row)` says whether the schedule excuses a row."""

    def __init__(self, store: HostileStore, poison: set[int], had_cause: Callable[[str, int], bool]) -> None:
        self._files = store.files
        self._poison = poison
        self._had_cause = had_cause
        self.job: Job | None = None
        self.plans: list[Plan] = []
        self.shards: dict[str, Shard] = {}  # by the name of the part
        self.crashed_rows: set[int] = set()

    def look(self, change: Change) -> None:
        """After an operation that changed something: all promises must still hold."""
        path = change.path
        require(change.before is None, f"{path} changed after it could be read")
        if path.startswith("generations/"):
            self._check_part(path)
        elif path == "_job/spec.json":
            self.job = _JOB_OF[orjson.loads(self._files[path])["checkpoint"]]
        elif path.startswith("_job/plan-"):
            self._check_plan(path)
        elif path.startswith("_SUCCESS"):
            self._check_success(path)

    def _check_plan(self, path: str) -> None:
        number, data = len(self.plans), self._files[path]
        require(path == f"_job/plan-{number:03d}.parquet", f"{path} is there as plan file {number}")
        require(self.job and PLAN_OF[data] is self.job, f"{path} is another job's")
        require(number or data in self.job.plans, f"{path} holds only later files")
        before = [shard for plan in self.plans for shard in plan.shards]
        planned = rows_of(before)
        for ordinal, shard in enumerate(PLANS[data].shards, len(before)):
            require(shard.ordinal == ordinal, f"{path} has ordinal {shard.ordinal} where {ordinal} is next")
            require(planned.isdisjoint(rows_of([shard])), f"{path} plans rows of {shard.name} anew")
            self.shards[_name(shard)] = shard
        self.plans.append(PLANS[data])

    def _check_part(self, path: str) -> None:
        shard = self.shards.get(path)
        require(shard is not None, f"{path} is no shard's part")
        assert shard is not None
        try:
            rows, table = orjson.loads(self._files[path])
        except ValueError:
            raise ViolationError(f"{path} is incomplete") from None
        planned = range(shard.first_row, shard.first_row + shard.rows)
        require(sorted(row for row, _ in rows) == list(planned), f"{path} holds {rows}, not {planned}")
        name, sha256 = table
        require(name in self._files, f"{path} names a router table that is not there")
        require(_sha256(self._files[name]) == sha256, f"{path} names another router table than {name}")
        for row, status in rows:
            crashed = status == CRASHED
            require(crashed or row not in self._poison, f"row {row} came out alive")
            if crashed and row not in self._poison:
                cause = self._had_cause(shard.id, row - shard.first_row)
                require(cause, f"innocent row {row} was quarantined without cause")
            if crashed:
                self.crashed_rows.add(row)

    def _check_success(self, success: str) -> None:
        number = int(success.removeprefix("_SUCCESS").removeprefix("-") or 0)
        require(number < len(self.plans), f"{success} is there before its plan file")
        shards = self.plans[number].shards
        parts = {part["path"]: part["sha256"] for part in orjson.loads(self._files[success])["parts"]}
        missing = [shard.id for shard in shards if _name(shard) not in self._files]
        require(not missing, f"{success} is there before shards {missing}")
        require(parts.keys() == {_name(shard) for shard in shards}, f"{success} names other parts")
        for path, sha256 in parts.items():
            require(_sha256(self._files[path]) == sha256, f"{success} has a wrong sha256 of {path}")

    def look_at_the_end(self, extended_by: set[str]) -> None:
        """After a run that nothing disturbed and that found these later files: all is looked at again."""
        assert self.job is not None
        rows: list[int] = []
        for path, shard in self.shards.items():
            require(path in self._files, f"shard {shard.id} is missing at the end")
            rows += [row for row, _ in orjson.loads(self._files[path])[0]]
        files = extended_by | {shard.name for shard in self.shards.values()}
        later = [row for file in self.job.later if file in files for row in self.job.later[file]]
        require(sorted(rows) == [*range(self.job.rows), *later], f"rows {sorted(rows)}")
        require(self._poison & set(rows) <= self.crashed_rows, "a row that kills is not quarantined")
        parts = [path for path in self._files if path.startswith("generations/")]
        require(len(parts) == len(self.shards), f"parts {parts}")
        for number in range(len(self.plans)):
            success = f"_SUCCESS-{number:03d}" if number else "_SUCCESS"
            require(success in self._files, f"no {success} at the end")
            self._check_success(success)

    def look_at_a_job_given_up(self, pair: set[int]) -> None:
        """Two rows kill whenever they run together: where both are left, their shard can't be published."""
        for path, shard in self.shards.items():
            if pair <= rows_of([shard]) and path in self._files:
                require(pair & self.crashed_rows, f"rows {pair} came out of {shard.id} alive")


def most_deaths(max_attempts: int, rows: int) -> int:
    """What one row that kills may cost an otherwise undisturbed run.

    max_attempts - 1 tries beside others, a death a halving, and one more since it must die alone twice; a
    shard of one row has no halving, but its first deaths were not alone.
    """
    return max(2, max_attempts) + max(1, math.ceil(math.log2(rows)))


def rows_of(shards: Iterable[Shard]) -> set[int]:
    return {row for shard in shards for row in range(shard.first_row, shard.first_row + shard.rows)}


def _name(shard: Shard) -> str:
    return f"generations/part-{shard.ordinal:06d}-{shard.id}.parquet"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
