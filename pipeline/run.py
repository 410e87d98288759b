"""A job from its configuration to its report: plan, read, prepare, run the model, publish, finish."""

import json
import time
from collections.abc import Generator, Mapping
from contextlib import closing
from functools import partial
from typing import Any

import ray
from ray.data import Dataset, TaskPoolStrategy
from ray.exceptions import RayError

from pipeline.cluster import cpu_priority
from pipeline.cluster.exposed_dashboard import warn_if_exposed
from pipeline.cluster.ray_calls import ask
from pipeline.cluster.ray_data_settings import configure_ray_data
from pipeline.cluster.ray_watch import RayWatch
from pipeline.cluster.resources import (
    NAMING_OPTIONS,
    RAY_TASK_OPTIONS,
    REPLICA_CPUS,
    Resources,
    plan_resources,
)
from pipeline.cluster.session import as_job_error, connect
from pipeline.cluster.stage_output import blocks_of
from pipeline.cluster.wait_for_gpus import wait_for_gpus
from pipeline.config.job import JobConfig
from pipeline.durable.commit import Published
from pipeline.durable.operations import execute
from pipeline.durable.success import finalize
from pipeline.errors import Interrupted, TooManyErrors
from pipeline.output.empty_table import write_empty_table
from pipeline.output.publish import Publishing
from pipeline.output.write_report import report_interrupted, write_report
from pipeline.preflight.found_rows import warn_of_notices
from pipeline.preflight.job import Job, check_job
from pipeline.preflight.job_plan import load_or_make_plan, shards_to_do, warn_of_input
from pipeline.preflight.memory_forecast import require_memory
from pipeline.replicas.replica import Replica
from pipeline.replicas.replica_pool import replica_options, replica_pool
from pipeline.reporting.progress import JobProgress
from pipeline.reporting.report import Report
from pipeline.reporting.summary import ShardSummary
from pipeline.shards.plan import Plan
from pipeline.shards.shard_source import ShardNames
from pipeline.shards.shard_table import ShardTable
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store
from pipeline.supervision.coordinator import start_coordinator
from pipeline.supervision.graceful_stop import stopping_on_signals
from pipeline.supervision.in_flight import InFlightShards
from pipeline.supervision.signals import stopping_at_once
from pipeline.supervision.stop_budget import SECONDS_TO_LEAVE
from pipeline.supervision.watched_task import Watched
from pipeline.text.rendering_apart import rendering_apart

_WHOLE_BLOCKS: dict[str, Any] = {"batch_size": None, "batch_format": "pyarrow"}


@stopping_at_once()
def run(config: JobConfig, replica: type[Replica] = Replica, extend: bool = False) -> Report:
    """Run a job, or what is missing of it, and return its report; `replica` runs its shards.

    `extend` adds the input files that came since the job began; without it they are only warned about.
    While it runs, SIGTERM, SIGHUP and SIGINT have its own handlers, if this is the main thread.

    Raises:
        ConfigError: the job, its input, checkpoint or output folder is wrong, or was changed meanwhile.
        TooManyErrors: done and published, with more error rows than errors.max_error_rate.
        Interrupted: stopped by one of these signals; the same call goes on.
        JobError: the machine failed; the same call goes on.
    """
    job = check_job(config)
    store = open_store(config.output.path)
    store.probe()
    plan = load_or_make_plan(job, store, extend)
    missing, today = shards_to_do(job, store, plan)
    warn_of_input(job, today)
    write_empty_table(job, store, plan)

    started = time.monotonic()
    committed: dict[str, ShardSummary] = {}  # of this run, by the part's path
    sha256: dict[str, str | None] = {}  # of the same parts
    try:
        if missing:
            connect()
            warn_if_exposed()
            rows = plan.rows
            progress = JobProgress(rows, done=rows - missing.rows)
            with cpu_priority.lowered(), start_coordinator() as coordinator:
                in_flight = InFlightShards(coordinator, missing, committed, store)
                with stopping_on_signals(in_flight), in_flight.release_on_failure(), progress:
                    with rendering_apart(then_stop=True):
                        warn_of_notices(job.preparation.prepared(missing[0]))
                    with closing(_run_shards(job, store, missing, replica, coordinator)) as commits:
                        for part, summary in commits:
                            sha256[part.path] = part.sha256
                            committed[part.path] = summary
                            progress.add(summary)
    except Interrupted as stop:
        report_interrupted(job, store, [*committed.values()], time.monotonic() - started)
        raise Interrupted from stop
    return _finish(job, store, plan, [*committed.values()], time.monotonic() - started, sha256)


def _run_shards(
    job: Job, store: Store, shards: ShardTable, replica: type[Replica], coordinator: Any
) -> Generator[tuple[Published, ShardSummary]]:
    """Commit every shard, in any order; yields its part and summary as each one is committed."""
    try:
        resources = _resources(job, shards)
        stages = ask(
            lambda: _stages(job, store, shards, resources, replica, coordinator), what="the job's stages"
        )
        with (
            RayWatch(job.config.engine.progress_deadline_s) as watch,
            closing(blocks_of(stages, watch, SECONDS_TO_LEAVE / 2)) as blocks,
        ):
            for commits in blocks:
                for commit in commits.to_pylist():
                    summary = ShardSummary(**json.loads(commit["summary"]))
                    yield Published(commit["path"], commit["sha256"]), summary
    except RayError as error:
        raise as_job_error(error) from error


def _resources(job: Job, shards: ShardTable) -> Resources:
    """What the job takes of the cluster, once that is there."""
    resources = plan_resources(job.config, job.model, shards)
    require_memory(job, resources)
    wait_for_gpus(resources)
    return plan_resources(job.config, job.model, shards) if resources.num_gpus else resources  # more nodes


def _stages(
    job: Job, store: Store, shards: ShardTable, resources: Resources, replica: type[Replica], coordinator: Any
) -> Dataset:
    """The stages from each shard's name to prepared rows, finished rows and commit; nothing runs yet."""
    ray_tasks = TaskPoolStrategy(min(len(shards), resources.ray_tasks))
    deadline = job.config.engine.progress_deadline_s
    names = ShardNames(shards, partial(Watched, deadline=deadline))
    named = ray.data.read_datasource(
        names,
        override_num_blocks=names.ray_tasks,
        compute=TaskPoolStrategy(1),
        ray_remote_args=NAMING_OPTIONS,
    )
    configure_ray_data(named.context)
    preparing = Watched(job.preparation, deadline)
    prepared = named.map_batches(preparing, **_WHOLE_BLOCKS, compute=ray_tasks, **RAY_TASK_OPTIONS)
    finished = prepared.map_batches(
        replica,
        fn_constructor_args=(replica_options(job, store, resources, coordinator),),
        **_WHOLE_BLOCKS,
        compute=replica_pool(resources, job.config, len(shards)),
        num_cpus=REPLICA_CPUS,
        # with the option `num_gpus`, Ray Data would demand a batch_size
        ray_remote_args_fn=lambda: {"num_gpus": resources.num_gpus},
        max_task_retries=-1,  # the replica itself counts attempts, in the store
    )
    publishing = Watched(Publishing(store, job.task, job.spec), deadline)
    return finished.map_batches(publishing, **_WHOLE_BLOCKS, compute=ray_tasks, **RAY_TASK_OPTIONS)


def _finish(
    job: Job,
    store: Store,
    plan: Plan,
    new: list[ShardSummary],
    seconds: float,
    sha256: Mapping[str, str | None],
) -> Report:
    """Router tables and report over all committed parts; _SUCCESS only for a job that succeeded.

    `sha256` is of the parts that this run committed; None if another attempt committed the part first.
    """
    report, parts = write_report(job, store, "done", new, seconds, sha256)
    assert report.rows_by_status is not None
    assert report.error_rate is not None
    if report.error_rate > job.config.errors.max_error_rate:
        raise TooManyErrors(_too_many(report, job.config.errors.max_error_rate), report)
    summaries = [{"rows_by_status": of_file.summary.rows_by_status} for of_file in parts]
    known = {path: digest for of_file in parts for path, digest in of_file.sha256.items()}
    execute(finalize(plan, summaries[: plan.plan_files], known), store)
    return report


def _too_many(report: Report, most: float) -> str:
    assert report.rows_by_status is not None
    assert report.errors_by_code is not None
    codes = ", ".join(f"{count:,} {code}" for code, count in report.errors_by_code.items())
    return (
        f"{report.rows_by_status['error']:,} of {report.rows:,} rows are errors ({codes}), more than "
        f"errors.max_error_rate ({most:.2%}) allows; all rows are published in {report.output}, but no "
        "_SUCCESS. Read error_message of the rows with status error, and docs/errors.md on their codes. If "
        "the input is at fault, mend it and run it into another output.path; if so many errors are to be "
        "expected, raise errors.max_error_rate and run the same command again, which computes no row anew"
    )
