"""The data's way over memory://, stage after stage in this one process, which is all that sees its files."""

import asyncio
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pyarrow as pa
import pytest

from pipeline.cluster.resources import Resources
from pipeline.config.job import JobConfig
from pipeline.durable.commit import remaining
from pipeline.durable.operations import execute
from pipeline.output.publish import Publishing
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan
from pipeline.replicas.replica import Replica
from pipeline.replicas.replica_pool import replica_options
from pipeline.run import _finish
from pipeline.shards.carried_shard import name_shard
from pipeline.storage.open_store import open_store
from pipeline.supervision.coordinator import start_coordinator
from pipeline.tasks.generate import Generate, GenerationSection
from tests.random_prompts import random_prompts

NEW_TOKENS = 4


@pytest.mark.usefixtures("local_ray")  # for the coordinator
def test_rows_are_read_from_memory_and_published_there(
    make_config: Callable[..., JobConfig], checkpoint: Any
) -> None:
    prompts = random_prompts(20)
    rows: list[Any] = [{"ids": prompt} for prompt in prompts]
    config = make_config([*rows, "{broken"], generation={"max_new_tokens": NEW_TOKENS})
    place = f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").pipe(f"{place}/in/rows.jsonl", Path(config.input.path[0]).read_bytes())
    job = check_job(config)
    section = config.input.model_copy(update={"path": [f"{place}/in/*.jsonl"]})
    output = config.output.model_copy(update={"path": f"{place}/out"})
    job = replace(job, config=config.model_copy(update={"input": section, "output": output}))

    store = open_store(output.path)
    store.probe()
    plan = load_or_make_plan(job, store, extending=False)
    shards = execute(remaining(plan), store)
    assert len(shards) == 3
    publish = Publishing(store, Generate(GenerationSection()), job.spec)
    with start_coordinator() as coordinator:
        resources = Resources(1, num_gpus=0, threads=1, ray_tasks=1)
        replica = Replica(replica_options(job, store, resources, coordinator))

        async def finished(prepared: pa.Table) -> pa.Table:
            [table] = [table async for table in replica(prepared)]
            return table

        async def run_all() -> list[pa.Table]:
            prepared = [job.preparation(name_shard(shard)) for shard in shards]
            return await asyncio.gather(*map(finished, prepared))

        for table in asyncio.run(run_all()):
            publish(table)
    assert execute(remaining(plan), store) == []
    report = _finish(job, store, plan, [], time.monotonic(), {})
    assert (report.state, report.rows, report.errors_by_code) == ("done", 21, {"MALFORMED_JSON": 1})

    table = pd.read_parquet(f"{place}/out/generations").sort_values("row", ignore_index=True)
    for prompt, tokens in zip(prompts, table["token_ids"], strict=False):
        assert list(tokens) == checkpoint.generate(prompt, NEW_TOKENS)
    experts = pd.read_parquet(f"{place}/out/router/experts.parquet")
    assert experts["first"].sum() > 0
