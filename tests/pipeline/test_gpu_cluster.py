"""A job on nodes that have GPUs, as far as Ray is told: the replicas take them, and shards stay whole."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from pipeline.config.job import JobConfig

JOB = """
import sys
import ray
from pipeline.config.job import JobConfig
from pipeline.replicas.replica import Replica
from pipeline.run import run

class Noted(Replica):
    def load_engine(self, options):
        print("GPUs of a replica:", ray.get_runtime_context().get_accelerator_ids()["GPU"], flush=True)
        return super().load_engine(options)

if __name__ == "__main__":
    ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="ERROR")
    print("replicas:", run(JobConfig.model_validate_json(sys.stdin.read()), Noted).facts())
"""


@pytest.mark.slow
def test_replicas_take_the_gpus_and_shards_stay_whole(make_config: Callable[..., JobConfig]) -> None:
    rows = [{"ids": [1, 2 + i]} for i in range(60)]
    config = make_config(rows, engine={"replicas": "auto"}, generation={"max_new_tokens": 2})
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        input=config.model_dump_json(),
        text=True,
        capture_output=True,
        timeout=200,
        env=os.environ | {"RAY_ADDRESS": "local"},
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout + done.stderr
    assert "GPUs of a replica: ['0']" in shown
    assert "GPUs of a replica: ['1']" in shown
    parts = list((Path(config.output.path) / "generations").glob("*.parquet"))
    assert sorted(len(pd.read_parquet(part)) for part in parts) == [4] + [8] * 7
