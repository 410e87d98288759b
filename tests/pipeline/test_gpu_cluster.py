"""A job on nodes that have GPUs, as far as Ray is told: the replicas take them, and shards stay whole."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from ray.cluster_utils import Cluster

from pipeline.config.job import JobConfig

JOB = """
import asyncio
import os
import sys
from dataclasses import replace
import ray
from pipeline.config.job import JobConfig
from pipeline.errors import JobError
from pipeline.replicas.replica import Replica
from pipeline.run import run

SECONDS_A_SHARD = float(sys.argv[1])

class Noted(Replica):
    # torch sees no GPU here, so it computes on the CPU
    def load_engine(self, options):
        print("GPUs of a replica:", ray.get_runtime_context().get_accelerator_ids()["GPU"], flush=True)
        return super().load_engine(replace(options, on_gpus=False))

    async def _run_rows(self, rows):
        await asyncio.sleep(SECONDS_A_SHARD)
        return await super()._run_rows(rows)

if __name__ == "__main__":
    if not os.environ.get("RAY_ADDRESS"):
        ray.init(num_cpus=2, num_gpus=2, include_dashboard=False, logging_level="ERROR")
    replica = Replica if "plain" in sys.argv else Noted
    try:
        print("replicas:", run(JobConfig.model_validate_json(sys.stdin.read()), replica).facts())
    except JobError as error:
        print(type(error).__name__, error)
"""


@pytest.mark.slow
def test_replicas_take_the_gpus_and_shards_stay_whole(make_config: Callable[..., JobConfig]) -> None:
    rows = [{"ids": [1, 2 + i]} for i in range(60)]
    config = make_config(rows, engine={"replicas": "auto"}, generation={"max_new_tokens": 2})
    shown = finished(started(config, "0"))
    assert "GPUs of a replica: ['0']" in shown
    assert "GPUs of a replica: ['1']" in shown
    parts = list((Path(config.output.path) / "generations").glob("*.parquet"))
    assert sorted(len(pd.read_parquet(part)) for part in parts) == [4] + [8] * 7


@pytest.mark.slow
def test_gpus_that_were_given_and_that_torch_does_not_see_end_the_job(
    make_config: Callable[..., JobConfig],
) -> None:
    shown = finished(started(make_config([{"ids": [1]}]), "0", "plain"))
    assert "ConfigError model: Ray gave this replica GPUs of " in shown
    assert "is built without CUDA and can use none: install a build of torch that has it" in shown


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_cluster_scaled_to_zero_is_waited_for_and_grows(make_config: Callable[..., JobConfig]) -> None:
    rows = [{"ids": [1, 2 + i]} for i in range(24 * 8)]
    engine = {"device": "gpu", "replicas": {"min": 1, "max": 2}}
    config = make_config(rows, engine=engine, generation={"max_new_tokens": 2}, input={"shard_rows": 8})
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        job = started(config, "2", RAY_ADDRESS=cluster.address)
        said = lines_until(job, "waiting for GPUs for 1 replicas, 1 on one node for each: the cluster has")
        assert "room for 0, if nobody else uses it (GPUs of its nodes: 0)" in said[-1]
        cluster.add_node(num_cpus=1, num_gpus=1)
        said = lines_until(job, "GPUs of a replica: ['0']")
        assert any("the GPUs are there" in line for line in said)
        assert any("1 more replicas begin when nodes with free GPUs come" in line for line in said)
        cluster.add_node(num_cpus=1, num_gpus=1)
        lines_until(job, "GPUs of a replica: ['0']")
        shown = finished(job)
    finally:
        cluster.shutdown()
    assert "('ok', '192')" in shown


def started(config: JobConfig, *arguments: str, **environment: str) -> "subprocess.Popen[str]":
    here = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    job = subprocess.Popen(
        [sys.executable, "-u", "-c", JOB, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=here | environment,
    )
    assert job.stdin is not None
    job.stdin.write(config.model_dump_json())
    job.stdin.close()
    return job


def lines_until(job: "subprocess.Popen[str]", sentence: str) -> list[str]:
    """What the job says, up to the line with the sentence."""
    assert job.stdout is not None
    said: list[str] = []
    for line in job.stdout:
        said.append(line)
        if sentence in line:
            return said
    raise AssertionError("".join(said))


def finished(job: "subprocess.Popen[str]") -> str:
    """What the job says until it ends."""
    assert job.stdout is not None
    shown = job.stdout.read()
    assert job.wait(timeout=200) == 0, shown
    return shown
