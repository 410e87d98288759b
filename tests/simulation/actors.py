"""Who acts in a schedule: runs, their processes, and what each does step by step.

All of them run the generators of `pipeline.durable`. These are looked up by name at every call, so that
mutants can replace them.
"""

from collections.abc import Callable, Generator
from typing import Any

from pipeline.durable import commit, job_start, success
from pipeline.durable.commit import RouterTable, remaining
from pipeline.durable.operations import Create, List, Operation, Steps
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from tests.simulation.small_jobs import Job, joined, part_bytes, router_bytes

Rows = dict[int, str]  # by number in the shard: an error code, or with whom the row ran


class Run:
    """One `jobs run`: a driver, replicas that its cluster keeps alive, and shards on their way."""

    def __init__(self, name: str, job: Job, own_plan: bytes, extends: bool) -> None:
        self.name = name
        self.job = job
        self.own_plan = own_plan  # what it would plan itself
        self.extends = extends
        self.found: set[str] = set()  # later files that it set out to add
        self.alive = True
        self.plan: Plan | None = None
        self.waiting: list[Shard] = []  # for a replica
        self.uncommitted: set[str] = set()  # shards, by id
        self.published: dict[str, str | None] = {}


class Process:
    """A driver, a replica, or a worker that publishes; if it dies, all of its actors end."""

    __slots__ = ("alive", "inside", "kind", "name", "origin", "rows", "run", "shards", "waiting_to_be_alone")

    def __init__(self, kind: str, name: str, run: Run) -> None:
        self.kind = kind
        self.name = name
        self.origin = run.name
        self.run: Run | None = run  # None: its run takes it for dead
        self.alive = True
        self.shards: list[Shard] = []  # in flight
        self.rows: Rows = {}  # to publish
        self.inside = 0  # shards that run beside each other in a replica; -1: one runs alone
        self.waiting_to_be_alone = 0


class Actor:
    """A coroutine of a process; `then` is called with what its steps return."""

    __slots__ = ("glance", "process", "result", "steps", "then", "trial", "unanswered")

    def __init__(
        self, process: Process | None, steps: Generator[Any, Any, Any], then: Callable[[Any], None]
    ) -> None:
        self.process = process
        self.steps = steps
        self.then = then
        self.result: Any = None
        self.unanswered: Any = None  # a step whose result is still to come
        self.glance: list[str] | None = None  # what a list saw the first time
        self.trial: Trial | None = None

    def has_whole(self, listing: List, chance: Callable[[], float]) -> bool:
        """A list reads twice; chance decides which of the files created in between it shows."""
        if self.glance is None:
            self.glance, self.unanswered = self.result, listing
            return False
        new = sorted(set(self.result).difference(self.glance))
        self.result = sorted({*self.glance, *(path for path in new if chance() < 0.5)})
        self.glance = None
        return True


class Trial:
    """A replica's try of a shard."""

    __slots__ = (
        "alone", "began", "claim", "entered", "excused", "max_attempts", "next_claim", "process", "ran",
        "shard", "waits_alone",
    )  # fmt: skip

    def __init__(self, process: Process, shard: Shard, began: int, max_attempts: int) -> None:
        self.process = process
        self.shard = shard
        self.began = began
        self.max_attempts = max_attempts
        self.entered = self.alone = self.waits_alone = False
        self.ran: Rows = {}
        self.excused: list[int] | None = None  # rows that it may quarantine, by what it has read
        self.claim: Any = None
        self.next_claim: Any = None


def begin(run: Run, arrived: Callable[[], set[str]]) -> Generator[Operation, Any, list[Shard]]:
    """`arrived` says which later files are there at the moment."""

    def plan_new_files(stored: list[bytes]) -> bytes | None:
        before = joined(tuple(stored))
        new = arrived() - {shard.name for shard in before.shards}
        run.found |= new
        return run.job.extension(new, len(before.shards)) if new else None

    stored = yield from job_start.start(run.job.spec, lambda: run.own_plan)
    if run.extends:
        stored = yield from job_start.extend(stored, plan_new_files)
    run.plan = joined(tuple(stored))
    return (yield from remaining(run.plan))


def commit_shard(shard: Shard, rows: Rows, seen: Callable[[bytes], None]) -> Steps[commit.Published]:
    """`seen` is shown the part before it is created."""

    def make_part(table: RouterTable | None) -> bytes:
        part = part_bytes(shard, rows, table)
        seen(part)
        return part

    return commit.publish(shard, router_bytes(shard, rows), make_part)


def end(run: Run) -> Steps[None]:
    assert run.plan is not None
    return success.finalize(run.plan, [{"by": run.name}] * run.plan.plan_files, run.published)


def late(request: Create) -> Generator[Operation, Any, None]:
    """A request whose sender is dead, still on its way."""
    yield request
