"""The input of a job that has not begun, or what of it came later, with all that is required of it.

What `doctor` says of the input, what `plan` shows and what a run stores go through the same checks.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pipeline.config.job import JobConfig
from pipeline.durable.job_spec import spec_digest
from pipeline.preflight.apart import require_apart, require_no_own_output
from pipeline.preflight.job import Job
from pipeline.preflight.kept_names import check_found_names
from pipeline.reading.columns import check_columns
from pipeline.reading.files import FoundInput, InputFile, expand
from pipeline.shards.make_plan import has_rows, make_plan
from pipeline.shards.plan import Plan
from pipeline.task import Task


@dataclass(frozen=True)
class CheckedInput:
    found: FoundInput
    has_rows: bool


def check_input(config: JobConfig) -> CheckedInput:
    """The files, of which no more is read than the checks need; ConfigError as for `check_plan`."""
    require_apart(config)
    task = config.make_task()
    found = expand(config.input)
    _require_fit(config, task, found.files, check_columns(found.files, config.input, task=task))
    return CheckedInput(found, has_rows(found.files, config.input))


def check_plan(job: Job, before: Plan | None = None) -> Plan:
    """The plan of the input files that `before` does not name.

    ConfigError if they can't be listed or read, if one lies in the output, if they lack a column or have one
    of a name that is taken, or if none has a row, unless the job may be empty.
    """
    plan = make_plan(job.config.input, before, spec_digest(job.spec), job.task)
    _require_fit(job.config, job.task, plan.files, plan.shards[0].kept if plan.shards else None)
    return plan


def _require_fit(config: JobConfig, task: Task[Any], files: Iterable[InputFile], kept: str | None) -> None:
    """`kept` is what `check_columns` returned; None if there is no row that could keep anything."""
    if kept is not None:
        check_found_names(config, task, kept)
    require_no_own_output(config, files)
