"""The output of a small job as its runs leave it, without Ray and without a model: what is damaged in tests.

Two files of 6 and 4 rows, cut into three shards; each has a bad row.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from model.requests.row_routing import RowRouting
from pipeline.config.job import JobConfig
from pipeline.durable.operations import execute
from pipeline.durable.success import finalize
from pipeline.output.publish import Publishing
from pipeline.output.write_report import write_report
from pipeline.preflight.job import Job, check_job
from pipeline.preflight.job_plan import load_or_make_plan
from pipeline.router.sums import sum_by_group
from pipeline.router.tables import to_parquet
from pipeline.row_requests import Outcome
from pipeline.rows.result_rows import ResultRows
from pipeline.shards.carried_shard import CarriedShard
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store

CHECKPOINT = Path(__file__).parents[1] / "configs" / "demo" / "tiny-mixtral"
FILES = {"a.jsonl": 6, "b.jsonl": 4}
PROBABLE = {"label_probs": [{"label": "yes", "prob": 1.0}, {"label": "no", "prob": 0.0}]}


def job_data(place: Path, output: str | None = None) -> dict[str, Any]:
    """The job file; the input is written to `place`/in. `output`: by default `place`/out."""
    (place / "in").mkdir(parents=True, exist_ok=True)
    for name, rows in FILES.items():
        lines = [f'{{"text": "Where is order {row}?"}}\n' for row in range(rows - 1)]
        (place / "in" / name).write_text("".join(lines) + "{broken\n")
    return {
        "job": "small",
        "task": "label",
        "model": {"path": str(CHECKPOINT)},
        "input": {
            "path": str(place / "in"), "prompt": {"column": "text"}, "chat": False, "shard_rows": 4
        },
        "label": {"choices": ["yes", "no"]},
        "output": {"path": output or str(place / "out")},
    }  # fmt: skip


def begin(data: dict[str, Any]) -> tuple[Job, Store, Plan]:
    job = check_job(JobConfig.model_validate(data))
    store = open_store(job.config.output.path)
    return job, store, load_or_make_plan(job, store, extending=False)


def commit(job: Job, store: Store, shards: Iterable[Shard]) -> None:
    """Publish these shards with made-up answers, by the code that jobs run."""
    for shard in shards:
        prepared = job.preparation.prepared(shard)
        outcomes = [_outcome(job, row) for row in prepared.to_pylist()]
        rows = ResultRows(job.config, job.task, job.model).table(prepared, outcomes)
        routed = [("all", outcome.routing) for outcome in outcomes if outcome.routing is not None]
        finished = CarriedShard(shard, rows, to_parquet(sum_by_group(routed)))
        Publishing(store, job.task, job.spec)(finished.packed())


def finish(job: Job, store: Store, plan: Plan) -> None:
    """What a run does when every shard is committed."""
    _, parts = write_report(job, store, "done", [], 1.0)
    summaries = [{"rows_by_status": of_file.summary.rows_by_status} for of_file in parts]
    hashes = {path: digest for of_file in parts for path, digest in of_file.sha256.items()}
    execute(finalize(plan, summaries, hashes), store)


def finished(place: Path, output: str | None = None) -> Store:
    job, store, plan = begin(job_data(place, output))
    commit(job, store, plan.shards)
    finish(job, store, plan)
    return store


def _outcome(job: Job, row: dict[str, Any]) -> Outcome:
    if row["prompt_token_ids"] is None:
        return Outcome(row["error_code"], row["error_message"])
    layers, experts, tokens = job.model.num_layers, job.model.num_experts, len(row["prompt_token_ids"])
    shapes: dict[str, tuple[int, ...]] = {
        "tokens": (), "computed": (), "next_pairs": (),
        "chosen": (layers, 2, experts), "gate_q": (layers, 2, experts), "prob_q": (layers, experts),
        "pairs": (layers, experts, experts),
        "repeat_first": (layers,), "repeat_any": (layers,), "entropy_q": (layers,),
    }  # fmt: skip
    counts = {name: np.full((2, *shape), tokens, dtype=np.int64) for name, shape in shapes.items()}
    values = {"label": "yes", "label_prob": 1.0, "label_mass": 0.5, **PROBABLE}
    return Outcome(values=values, routing=RowRouting(**counts))
