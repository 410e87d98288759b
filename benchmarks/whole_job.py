"""A workload as a whole job through Ray: read, run, published, in a process of its own."""

import json
import sys
import tempfile
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.workloads import WORKLOADS
from model.config import ModelConfig
from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.replicas.replica import Replica
from pipeline.run import run
from pipeline.storage.open_store import open_store
from pipeline.supervision.ending import end_with

_SHARD_ROWS = 16
_LOADED = "_job/loaded"


@dataclass(frozen=True)
class JobTask:
    folder: str
    workload: str
    rows: int | None
    replicas: int
    threads: int  # of each replica


@dataclass(frozen=True)
class JobResult:
    tokens: int  # generated
    seconds: float  # all of it, Ray's start included
    running_seconds: float  # from when the first replica has its engine to the last commit


class Timed(Replica):
    """Notes when its engine is loaded."""

    def load_engine(self, options: ReplicaOptions) -> Engine:
        engine = super().load_engine(options)
        options.store.create(f"{_LOADED}/{uuid.uuid4().hex}", str(time.time()).encode())
        return engine


def run_job(task: JobTask, scratch: Path) -> JobResult:
    """Everything it reads and writes is in the folder `scratch`."""
    workload = WORKLOADS[task.workload](ModelConfig.from_folder(task.folder).vocab_size, task.rows)
    rows = zip(workload.prompts, workload.new_tokens, strict=True)
    lines = [json.dumps({"ids": prompt, "max_new_tokens": new}) + "\n" for prompt, new in rows]
    (scratch / "rows.jsonl").write_text("".join(lines))
    config = JobConfig.model_validate(
        {
            "job": "bench",
            "task": "generate",
            "model": {"path": task.folder},
            "input": {
                "path": str(scratch / "rows.jsonl"),
                "prompt": {"token_ids": "ids"},
                "shard_rows": _SHARD_ROWS,
            },
            "generation": {"ignore_eos": True},
            "engine": {"replicas": task.replicas, "threads": task.threads},
            "output": {"path": str(scratch / "out")},
        }
    )
    started = time.time()
    report = run(config, Timed)
    ended = time.time()
    store = open_store(config.output.path)
    loaded = min(float(store.read(path)) for path in store.list(_LOADED))
    committed = max(part.stat().st_mtime for part in (scratch / "out/generations").iterdir())
    assert report.generated_tokens is not None
    return JobResult(report.generated_tokens, ended - started, committed - loaded)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-job-") as folder:
        result = run_job(JobTask(**json.loads(sys.argv[1])), Path(folder))
    print(json.dumps(asdict(result)))


if __name__ == "__main__":
    end_with(main)
