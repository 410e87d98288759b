"""A dry run: what a job would read and still has to do, from its plan and a sample of its prompts."""

import math
from collections import Counter
from dataclasses import dataclass

from pipeline.cluster.devices import is_joined
from pipeline.cluster.session import connect
from pipeline.config.job import JobConfig
from pipeline.durable.commit import remaining
from pipeline.durable.job_start import begun
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job
from pipeline.preflight.job_plan import joined
from pipeline.preflight.kept_names import check_plan_names
from pipeline.preflight.memory_forecast import MemoryForecast, forecast_memory, require_fitting
from pipeline.preflight.number_type import will_use_gpus
from pipeline.preflight.shared_prefix import shared_prefix
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store

_SAMPLED_ROWS = 2_000


@dataclass(frozen=True)
class FileForecast:
    name: str
    shards: int
    rows: int


@dataclass(frozen=True)
class Forecast:
    files: list[FileForecast]
    shards: int
    rows: int
    extension: list[FileForecast]  # files that came after the job had begun: --extend would add them
    not_to_be_added: str | None  # why --extend would fail; None if it would not
    shards_missing: int
    rows_missing: int
    output: str
    sampled: int  # rows that were prepared for the figures below
    errors: dict[str, int]  # by code
    duplicate_ids: int  # rows among them whose id another row before them has
    lengths: dict[tuple[int, int], int]  # prompts by length in tokens, from and to
    mean_tokens: float
    memory: MemoryForecast


def forecast(config: JobConfig) -> Forecast:
    """Check the job, plan its input and prepare a sample of whole shards; ConfigError as in a run.

    It looks at the cluster that RAY_ADDRESS names, and starts no Ray. JobError if that can't be reached.
    """
    job = check_job(config)
    store = open_store(config.output.path)
    stored = execute(begun(job.spec), store)
    new, refused = Plan((), ()), None
    if not stored:
        plan = make_plan(config.input, task=job.task)
        check_plan_names(job.config, job.task, plan)
    else:
        plan, new_files = joined(stored).check(config.input)
        try:
            new = make_plan(config.input, plan, task=job.task) if new_files else new
        except ConfigError as error:
            refused = str(error)
    if is_joined():
        connect()
    memory = forecast_memory(job, will_use_gpus(job.config), len(shared_prefix(job, plan)))
    if is_joined():  # else the job may be for a cluster, and this machine none of it
        require_fitting(memory, job.config)
    missing = execute(remaining(plan), store)
    lengths, errors, ids = _prepare(job, _sample(plan))
    counted = len(lengths) + errors.total()
    return Forecast(
        files=_files(plan),
        shards=len(plan.shards),
        rows=plan.rows,
        extension=_files(new),
        not_to_be_added=refused,
        shards_missing=len(missing),
        rows_missing=sum(shard.rows for shard in missing),
        output=store.url(),
        sampled=counted,
        errors=dict(errors),
        duplicate_ids=ids.total() - len(ids),
        lengths=_histogram(lengths),
        mean_tokens=sum(lengths) / len(lengths) if lengths else 0.0,
        memory=memory,
    )


def _files(plan: Plan) -> list[FileForecast]:
    shards = Counter(shard.name for shard in plan.shards)
    rows: Counter[str] = Counter()
    for shard in plan.shards:
        rows[shard.name] += shard.rows
    return [FileForecast(file.name, shards[file.name], rows[file.name]) for file in plan.files]


def _sample(plan: Plan) -> list[Shard]:
    """Shards spread evenly over the plan, with about _SAMPLED_ROWS rows together."""
    if not plan.shards:
        return []
    count = max(1, min(len(plan.shards), _SAMPLED_ROWS * len(plan.shards) // max(plan.rows, 1)))
    return [plan.shards[i * len(plan.shards) // count] for i in range(count)]


def _prepare(job: Job, shards: list[Shard]) -> tuple[list[int], Counter[str], Counter[str]]:
    """The prompts' lengths in tokens, the rows' error codes and their ids."""
    ids: Counter[str] = Counter()
    lengths: list[int] = []
    errors: Counter[str] = Counter()
    for shard in shards:
        prepared = job.preparation.prepared(shard)
        lengths += [len(ids) for ids in prepared["prompt_token_ids"].to_pylist() if ids is not None]
        errors.update(code for code in prepared["error_code"].to_pylist() if code is not None)
        ids.update(prepared["id"].to_pylist())
    return lengths, errors, ids


def _histogram(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Count prompts in bins bounded by powers of two, from the shortest prompt's bin to the longest's."""
    if not lengths:
        return {}
    bins = Counter(int(math.log2(length)) for length in lengths)
    return {(2**b, 2 ** (b + 1) - 1): bins[b] for b in range(min(bins), max(bins) + 1)}
