"""How a job's replicas are started: what each is told, and how many shards it holds."""

import uuid
from typing import Any

from ray.data import ActorPoolStrategy

from pipeline.cluster.resources import Resources
from pipeline.config.job import JobConfig
from pipeline.preflight.job import Job
from pipeline.replicas.load_engine import ReplicaOptions
from pipeline.storage.store import Store


def replica_options(job: Job, store: Store, resources: Resources, coordinator: Any) -> ReplicaOptions:
    """All that a replica's process needs to know; each call names a run of its own."""
    return ReplicaOptions(
        config=job.config,
        task=job.task,
        checkpoint=job.checkpoint_anywhere,
        prompt_format=job.prompt_format,
        threads=resources.threads,
        store=store,
        spec=job.spec,
        run=uuid.uuid4().hex,
        coordinator=coordinator,
        on_gpus=resources.num_gpus > 0,
        least_cache_tokens=job.least_cache_tokens,
    )


def replica_pool(resources: Resources, config: JobConfig, shards: int) -> ActorPoolStrategy:
    """Replicas that each hold several shards at once, so that a batch never drains at a shard's end.

    A replica holds a shard until the shard's last row has ended, so many of the rows that it holds are done.
    Its shards together must therefore have several times a batch's rows. In a small job no replica begins
    with more than its share of the shards, or the first to be ready would take them all. A replica that
    finishes a shard takes another.
    """
    together = min(32, max(3, -(-512 // config.input.shard_rows)))
    if config.engine.deterministic == "shard":
        together = 2  # one runs, and the next one waits
    share = -(-shards // resources.replicas)
    return ActorPoolStrategy(
        size=resources.replicas,
        max_concurrent_calls_per_actor=together,
        # a shard that is queued at a busy replica cannot go to an idle one
        max_tasks_in_flight_per_actor=min(share, together),
    )
