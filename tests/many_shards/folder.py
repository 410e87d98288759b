"""An output folder in which a great many shards of one row are committed, but for the last few.

The parts are copies of one that was really published, but for their names; so they all name one router table,
and reading them takes what it would if each had its own.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from model.requests.row_routing import RowRouting
from pipeline.config.job import JobConfig
from pipeline.durable.commit import part_path
from pipeline.output.publish import Publishing
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan
from pipeline.router.sums import sum_by_group
from pipeline.router.tables import to_parquet
from pipeline.shards.carried_shard import CarriedShard
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store
from pipeline.storage.sealed_parquet import sealed
from pipeline.storage.store import Store
from pipeline.tasks.generate import Generate, GenerationSection

CHECKPOINT = Path(__file__).parents[2] / "configs" / "demo" / "tiny-mixtral"


def make_config(place: Path, output: str | None = None) -> JobConfig:
    """`output`: how else the job's output folder, which lies in `place`, is reached."""
    return JobConfig.model_validate(
        {
            "job": "many-shards",
            "task": "label",
            "model": {"path": str(CHECKPOINT)},
            "input": {"path": str(place / "rows.jsonl"), "prompt": {"column": "text"}, "shard_rows": 1},
            "label": {"choices": ["yes", "no"]},
            "output": {"path": output or str(place / "out")},
        }
    )


def fill(place: Path, shards: int, missing: int, groups: Sequence[str] = ("",)) -> None:
    """Make the job's input and output; `missing` shards at the end are not committed.

    Every router table counts a row of each of the `groups`.
    """
    place.mkdir(parents=True, exist_ok=True)
    with (place / "rows.jsonl").open("w") as rows:
        rows.writelines(json.dumps({"text": f"Where is order {row}?"}) + "\n" for row in range(shards))
    config = make_config(place)
    store = open_store(config.output.path)
    job = check_job(config)
    plan = load_or_make_plan(job, store, extending=False)
    first = store.read(_publish(store, plan.shards[0], job.spec, groups))
    name = part_path(plan.shards[0]).encode()
    for shard in plan.shards[1 : len(plan.shards) - missing]:
        part = sealed(bytearray(first.replace(name, part_path(shard).encode())))
        (place / "out" / part_path(shard)).write_bytes(part)


def _publish(store: Store, shard: Shard, spec: dict[str, object], groups: Sequence[str]) -> str:
    """Commit a shard of one row, with a router table of the demo's shape."""
    layers, chosen, experts = 4, 2, 8
    counts = {
        "tokens": (), "computed": (), "next_pairs": (),
        "chosen": (layers, chosen, experts), "gate_q": (layers, chosen, experts), "prob_q": (layers, experts),
        "pairs": (layers, experts, experts),
        "repeat_first": (layers,), "repeat_any": (layers,), "entropy_q": (layers,),
    }  # fmt: skip
    routing = RowRouting(**{name: np.ones((2, *shape), dtype=np.int64) for name, shape in counts.items()})
    rows = pa.table(
        {
            "id": ["rows.jsonl#0"], "status": ["ok"], "label": ["yes"],
            "error_code": pa.nulls(1, pa.string()),
            "prompt_tokens": pa.array([9], pa.int32()), "generated_tokens": pa.array([0], pa.int32()),
        }
    )  # fmt: skip
    block = CarriedShard(shard, rows, to_parquet(sum_by_group((group, routing) for group in groups)))
    path: str = Publishing(store, Generate(GenerationSection()), spec)(block.packed())["path"][0].as_py()
    return path
