"""The small jobs that are simulated: their rows, the ways to cut them into shards, the bytes of their files.

No Parquet here, since the protocol takes bytes as they come. Two runs of one job may cut its rows in two
ways, as after a change of the code: the plan that is stored first must hold for both.
"""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.durable.protocol import RouterTable
from pipeline.reading.plan import Plan, Shard

CRASHED = "WORKER_CRASH"


@dataclass(frozen=True)
class Job:
    spec: dict[str, Any]
    rows: int
    plans: tuple[bytes, ...]


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
            data = json.dumps([[shard.id, shard.first_row, shard.rows] for shard in plan.shards]).encode()
            plans[data] = plan
            stored.append(data)
        spec = {"format_version": 1, "config": {}, "checkpoint": f"{job}", "tokenizer": ""}
        jobs.append(Job(spec, sum(sizes), tuple(stored)))
    return jobs, plans


JOBS, PLANS = _make_jobs(64)  # PLANS: what the bytes of a stored plan say


def part_bytes(shard: Shard, rows: dict[int, str], table: RouterTable | None) -> bytes:
    """A part: the rows by their number in the input, each an error code or what it gave."""
    said = [[shard.first_row + row, rows[row]] for row in sorted(rows)]
    return json.dumps([said, [table.path, table.sha256] if table else None]).encode()


def router_bytes(shard: Shard, rows: dict[int, str]) -> bytes:
    return f"what was routed in shard {shard.id}: {sorted(rows.items())}".encode()
