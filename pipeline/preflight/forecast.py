"""A dry run: what a job would read and still has to do, from its plan and a sample of its prompts."""

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa

from pipeline.cluster.devices import is_joined
from pipeline.cluster.resources import plan_resources
from pipeline.cluster.session import look_at_cluster
from pipeline.config.job import JobConfig
from pipeline.durable.job_start import begun
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.preflight.checked_input import check_plan
from pipeline.preflight.checkpoint_facts import checkpoint_facts
from pipeline.preflight.found_rows import FoundRows, found_errors, found_notices
from pipeline.preflight.hidden_states import states_facts
from pipeline.preflight.job import Job, check_job
from pipeline.preflight.job_plan import joined, plan_anew, require_rows_or_allowed, shards_to_do
from pipeline.preflight.memory_forecast import MemoryForecast, forecast_memory, require_memory
from pipeline.preflight.number_type import will_use_gpus
from pipeline.preflight.replica_checks import how_computed
from pipeline.preflight.shown_prompts import ShownPrompt, show_prompts
from pipeline.reading.not_taken import NotTaken
from pipeline.rows.prepare import PREPARED
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store
from pipeline.text.rendering_apart import rendering_apart

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
    not_taken: NotTaken  # what lies in the input and is not read
    extension: list[FileForecast]  # files that came after the job had begun: --extend would add them
    not_to_be_added: str | None  # why --extend would fail; None if it would not
    shards_missing: int
    rows_missing: int
    output: str
    facts: list[tuple[str, str]]  # of the checkpoint and of every row's request, each with its name
    sampled: int  # rows that were prepared for what is below
    errors: list[FoundRows]
    duplicate_ids: int  # rows whose id a row before them has
    notices: list[FoundRows]
    shown: list[ShownPrompt]
    lengths: dict[tuple[int, int], int]  # prompts by length in tokens, from and to
    mean_tokens: float
    memory: MemoryForecast

    @property
    def all_bad(self) -> bool:
        """Whether there are rows, and each one that was looked at is an error."""
        return self.sampled > 0 and sum(found.rows for found in self.errors) == self.sampled


@rendering_apart()
def forecast(config: JobConfig, show: int = 0) -> Forecast:
    """Check the job, plan its input and prepare a sample of whole shards; ConfigError as in a run.

    It looks at the cluster that RAY_ADDRESS names, and starts no Ray. JobError if that can't be reached.
    `show`: how many prompts to show as tokens.
    """
    job = check_job(config)
    store = open_store(config.output.path)
    stored = execute(begun(job.spec), store)
    plan = require_rows_or_allowed(job, joined(stored)) if stored else plan_anew(job, store)
    missing, today = shards_to_do(job, store, plan)
    new, refused = Plan((), ()), None
    try:
        new = check_plan(job, plan) if today.new else new
    except ConfigError as error:
        refused = str(error)
    prepared = [*_prepared(job, _sample(plan, today.paths))]
    if is_joined():  # else the job may be for a cluster, and this machine none of it
        look_at_cluster()
        if missing:
            resources = plan_resources(job.config, job.model, missing)
            require_memory(job, resources)
    lengths = [len(ids) for table in prepared for ids in table["prompt_token_ids"] if ids.is_valid]
    return Forecast(
        files=_files(plan),
        shards=len(plan.shards),
        rows=plan.rows,
        not_taken=today.not_taken,
        extension=_files(new),
        not_to_be_added=refused,
        shards_missing=len(missing),
        rows_missing=missing.rows,
        output=store.url(),
        facts=[
            *checkpoint_facts(job),
            *job.requests.facts(),
            *job.preparation.prompts.facts(),
            *states_facts(job.config, job.hidden_layers, job.model.dim, plan.rows, lengths),
            ("computing", how_computed(job)[1]),
        ],
        sampled=sum(map(len, prepared)),
        errors=found_errors(prepared),
        duplicate_ids=_duplicates(prepared),
        notices=found_notices(prepared),
        shown=show_prompts(job, prepared, show),
        lengths=_histogram(lengths),
        mean_tokens=sum(lengths) / len(lengths) if lengths else 0.0,
        memory=forecast_memory(job, will_use_gpus(job.config)),
    )


def _files(plan: Plan) -> list[FileForecast]:
    shards = Counter(shard.name for shard in plan.shards)
    rows: Counter[str] = Counter()
    for shard in plan.shards:
        rows[shard.name] += shard.rows
    return [FileForecast(file.name, shards[file.name], rows[file.name]) for file in plan.files]


def _sample(plan: Plan, paths: Mapping[str, str]) -> list[Shard]:
    """Shards spread evenly over the plan, with about _SAMPLED_ROWS rows together.

    Of files that are not in `paths`, by which they can be opened, none.
    """
    if not plan.shards:
        return []
    count = max(1, min(len(plan.shards), _SAMPLED_ROWS * len(plan.shards) // max(plan.rows, 1)))
    shards = (plan.shards[i * len(plan.shards) // count] for i in range(count))
    return [replace(shard, file=paths[shard.name]) for shard in shards if shard.name in paths]


def _prepared(job: Job, shards: Sequence[Shard]) -> Iterator[pa.Table]:
    for shard in shards:
        yield job.preparation.prepared(shard).select(PREPARED.names)


def _duplicates(prepared: Sequence[pa.Table]) -> int:
    ids = Counter(one for table in prepared for one in table["id"].to_pylist())
    return ids.total() - len(ids)


def _histogram(lengths: list[int]) -> dict[tuple[int, int], int]:
    """Count prompts in bins bounded by powers of two, from the shortest prompt's bin to the longest's."""
    if not lengths:
        return {}
    bins = Counter(int(math.log2(length)) for length in lengths)
    return {(2**b, 2 ** (b + 1) - 1): bins[b] for b in range(min(bins), max(bins) + 1)}
