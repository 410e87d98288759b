"""A job of four shards, and its spec."""

from typing import Any

from pipeline.config.job import JobConfig
from pipeline.preflight.make_spec import make_spec
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard


def job(**changes: Any) -> JobConfig:
    data: dict[str, Any] = {
        "job": "test",
        "task": "generate",
        "model": {"path": "checkpoint"},
        "input": {"path": "in.jsonl", "prompt": {"column": "text"}},
        "output": {"path": "out"},
    }
    for dotted, value in changes.items():
        section, _, key = dotted.partition("__")
        if key:
            data[section] = data.get(section, {}) | {key: value}
        else:
            data[section] = value
    return JobConfig.model_validate(data)


SPEC_OF_JOB = make_spec(job(), "weights", "tokens")


SHARDS = tuple(
    Shard(n, f"{n:016x}", "/in.jsonl", "in.jsonl", "etag", "jsonl", 10 * n, 10, 100 * n, 100 * (n + 1))
    for n in range(4)
)


THE_PLAN = Plan(SHARDS, ())


PLAN_BYTES = THE_PLAN.to_parquet()
