"""The small jobs that are simulated: their rows, the ways to cut them into shards, the bytes of their files.

No Parquet here, since the protocol takes bytes as they come. Two runs of one job may cut its rows in two
ways, as after a change of the code: the plan that is stored first must hold for both. Some of a job's input
files come later, when it has begun, and are for the runs that extend it.
"""

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import orjson

from pipeline.durable.commit import RouterTable
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard

CRASHED = "WORKER_CRASH"


@dataclass(frozen=True)
class Job:
    number: int
    spec: dict[str, Any]
    rows: int  # of the files that are there from the beginning
    plans: tuple[bytes, ...]
    later: dict[str, range]  # files that come later, with their rows

    def extension(self, files: Iterable[str], first_ordinal: int) -> bytes:
        """A plan file for some of the later files, one shard each, which has such bytes every time."""
        shards = []
        for ordinal, file in enumerate(sorted(files), first_ordinal):
            rows = self.later[file]
            shard_id = f"{self.number:06x}{rows.start:010x}"
            extent = (10 * rows.start, 10 * rows.stop)
            shards.append(
                Shard(ordinal, shard_id, "/in", file, "etag", "jsonl", rows.start, len(rows), *extent)
            )
        data = _stored(shards)
        if data not in PLANS:
            PLANS[data], PLAN_OF[data] = Plan(tuple(shards), ()), self
        return data

    def pair(self, chance: Callable[[], float]) -> set[int]:
        """Two rows that may kill their process whenever they run together, in one shard of the first plan."""
        shards = [shard for shard in PLANS[self.plans[0]].shards if shard.rows > 1]
        shard = shards[int(chance() * len(shards))]
        other = 1 + int(chance() * (shard.rows - 1))
        return {shard.first_row, shard.first_row + other}


def _stored(shards: Sequence[Shard]) -> bytes:
    return orjson.dumps([[shard.id, shard.ordinal, shard.first_row, shard.rows] for shard in shards])


def _cut(job: int, way: int, sizes: Sequence[int]) -> Plan:
    shards, first = [], 0
    for ordinal, rows in enumerate(sizes):
        shard_id = f"{job:06x}{way:04x}{ordinal:06x}"
        extent = (10 * first, 10 * (first + rows))
        shards.append(Shard(ordinal, shard_id, "/in", "in", "etag", "jsonl", first, rows, *extent))
        first += rows
    return Plan(tuple(shards), ())


def _make_jobs(number: int) -> tuple[list[Job], dict[bytes, Plan]]:
    dice = random.Random(2024)
    jobs, plans = [], {}
    for job in range(number):
        sizes = [dice.randint(2, 6) for _ in range(dice.randint(2, 3))]
        if job % 2 == 0:
            sizes[-1] = 1  # the last slice of a file may hold one row
        elif job % 5 == 0:
            sizes[-1] = 8
        stored = []
        for way, cut in enumerate((sizes, sizes[::-1])):
            plan = _cut(job, way, cut)
            data = _stored(plan.shards)
            plans[data] = plan
            stored.append(data)
        spec = {"format_version": 1, "config": {}, "checkpoint": f"{job}", "tokenizer": ""}
        rows, later = sum(sizes), {}
        for file in range(2):
            first = rows + sum(map(len, later.values()))
            later[f"later-{file}"] = range(first, first + dice.randint(1, 3))
        jobs.append(Job(job, spec, rows, tuple(stored), later))
    return jobs, plans


JOBS, PLANS = _make_jobs(64)  # PLANS: what the bytes of a stored plan say
PLAN_OF = {data: job for job in JOBS for data in job.plans}  # whose they are


@cache
def joined(stored: tuple[bytes, ...]) -> Plan:
    """The plan of a job; a tuple holds its few shards, which a schedule goes through again and again."""
    plan = Plan.join([PLANS[data] for data in stored])
    return replace(plan, shards=tuple(plan.shards))


def part_bytes(shard: Shard, rows: dict[int, str], table: RouterTable | None) -> bytes:
    """A part: the rows by their number in the input, each an error code or what it gave."""
    said = [[shard.first_row + row, rows[row]] for row in sorted(rows)]
    return orjson.dumps([said, [table.path, table.sha256] if table else None])


def router_bytes(shard: Shard, rows: dict[int, str]) -> bytes:
    return f"what was routed in shard {shard.id}: {sorted(rows.items())}".encode()
