"""The steps by which a job begins, resumes and is extended: its spec, and the plan that all its runs follow.

    _job/spec.json            what the job is; the first run's wins
    _job/plan-000.parquet     its shards; the first run's wins
    _job/plan-001.parquet     the shards of files that came later, planned by a run that extends; and so on

The plan of a job is all its plan files together. One is created only by a run that has read all before it,
and holds shards only of files that none of those names, so that no file is ever planned twice: of two runs
that extend at once, one is first, and the other plans what is still new under the next number.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pipeline.durable.job_spec import require_same, spec_bytes
from pipeline.durable.operations import Read, Steps, first_wins
from pipeline.errors import JobError

SPEC = "_job/spec.json"


def plan_path(number: int) -> str:
    return f"_job/plan-{number:03d}.parquet"


def start(spec: Mapping[str, Any], make_plan: Callable[[], bytes]) -> Steps[list[bytes]]:
    """Begin or resume: the plan files that the store holds (as `Plan.to_parquet` wrote them).

    ConfigError if the folder is another job's. `make_plan` is called only where there is no plan yet, and
    before anything is written: input that cannot be planned leaves no trace.
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
    """For every process that works on the job: that its output folder is the one in which the job began.

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
    """The plan files, after one was added for the input files that none of those in `stored` names.

    `plan_new_files` is given all plan files and returns one more, or None if there is nothing new. It is
    called again where another run was first to extend: what that one planned is no longer new.
    """
    plans = list(stored)
    while (planned := plan_new_files(plans)) is not None:
        plans.append((yield from first_wins(plan_path(len(plans)), planned)))
        if plans[-1] == planned:
            break
    return (yield from _with_later_ones(plans))


def _with_later_ones(plans: list[bytes]) -> Steps[list[bytes]]:
    """`plans` are the first; all of them, in their order."""
    plans = list(plans)
    while (later := (yield Read(plan_path(len(plans))))) is not None:
        plans.append(later)
    return plans
