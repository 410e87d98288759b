"""The steps by which a job begins, resumes and is extended: its spec, and the plan that all its runs follow.

    _job/spec.json            what the job is; the first run's wins
    _job/plan-000.parquet     its shards; the first run's wins
    _job/plan-001.parquet     the shards of files that came later, planned by a run that extends; and so on

The plan of a job is all its plan files together. A run that adds one has read all before it, and plans only
input files that none of them names, so that no file is planned twice. Of two runs that extend the job at
once, one creates the next plan file; the other reads it and plans what is still new under the number after
it.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.durable.job_spec import SPEC, require_same, spec_bytes
from pipeline.durable.operations import Read, Steps, first_wins
from pipeline.errors import JobError


def plan_path(number: int) -> str:
    return f"_job/plan-{number:03d}.parquet"


def plan_number(path: str) -> int | None:
    """The number of the plan file with this path; None if it is none."""
    number = path.removeprefix("_job/plan-").removesuffix(".parquet")
    return int(number) if number.isdecimal() and path == plan_path(int(number)) else None


def start(spec: Mapping[str, Any], make_plan: Callable[[], bytes]) -> Steps[list[bytes]]:
    """Begin or resume: the plan files that the store holds (as `Plan.to_parquet` wrote them).

    ConfigError if the folder is another job's. `make_plan` is called only if there is no plan yet, and before
    anything is written, so that input which cannot be planned leaves the folder as it was.
    """
    stored = yield from begun(spec)
    if stored:
        return stored
    plan = make_plan()
    require_same((yield from first_wins(SPEC, spec_bytes(spec))), spec)
    first = yield from first_wins(plan_path(0), plan)
    return (yield from _with_later_ones([first]))


def begun(spec: Mapping[str, Any]) -> Steps[list[bytes]]:
    """The plan files of a job that has begun here, or none; ConfigError if the folder is another job's."""
    stored_spec = yield Read(SPEC)
    if stored_spec is None:
        return []
    require_same(stored_spec, spec)
    return (yield from _with_later_ones([]))


def require_begun(spec: Mapping[str, Any]) -> Steps[None]:
    """Every process that works on the job checks that its output folder is the one in which the job began.

    JobError if nothing began there, ConfigError if another job did.
    """
    stored = yield Read(SPEC)
    if stored is None:
        raise JobError(
            "output.path: a process of this job does not find the job there: it must be a folder that all "
            "machines share, or a URL, and nobody may remove it meanwhile"
        )
    require_same(stored, spec)


def extend(stored: list[bytes], plan_new_files: Callable[[list[bytes]], bytes | None]) -> Steps[list[bytes]]:
    """Add a plan file for the input files that none of `stored` names; returns all plan files.

    `plan_new_files` gets all plan files and returns one more, or None if no file is new. It is called again
    if another run added a plan file first, whose files are no longer new.
    """
    plans = list(stored)
    while (planned := plan_new_files(plans)) is not None:
        plans.append((yield from first_wins(plan_path(len(plans)), planned)))
        if plans[-1] == planned:
            break
    return (yield from _with_later_ones(plans))


def _with_later_ones(plans: list[bytes]) -> Steps[list[bytes]]:
    """All plan files in order; `plans` are the first of them."""
    plans = list(plans)
    while (later := (yield Read(plan_path(len(plans))))) is not None:
        plans.append(later)
    return plans
