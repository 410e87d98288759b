"""The plan that a run follows: the files of the job's first run, and those that runs with --extend added."""

import logging
from collections.abc import Sequence

from pipeline.durable.commit import PARTS
from pipeline.durable.job_spec import spec_digest
from pipeline.durable.job_start import begun, extend, start
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError, shown
from pipeline.preflight.apart import require_no_own_output
from pipeline.preflight.job import Job
from pipeline.preflight.kept_names import check_plan_names
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import Plan
from pipeline.storage.store import Store

logger = logging.getLogger(__name__)


def load_or_make_plan(job: Job, store: Store, extending: bool) -> Plan:
    """Return the stored plan, or make one and store it; its paths tell where the files are now.

    ConfigError if the output folder is another job's, or if an input file changed.
    """
    require_no_orphans(job, store)
    stored = execute(start(job.spec, lambda: _plan_files(job).to_parquet()), store)
    if extending:
        stored = execute(extend(stored, lambda plans: _plan_new_files(job, plans)), store)
    plan, new_files = joined(stored).check(job.config.input)
    if not plan.shards and not job.config.input.allow_empty:
        raise ConfigError(
            "output.path: the job that began here has no row: run it with --extend to add files that came, "
            "or set input.allow_empty: true if that is fine"
        )
    require_no_own_output(job.config, plan.files)
    if plan.not_taken:
        logger.warning("not taken of input.path: %s", plan.not_taken)
    if new_files and job.config.input.limit is None:
        logger.warning(
            "files that are newer than this job's plan are not part of it (%d, %s for one); "
            "run it with --extend to add them",
            len(new_files),
            shown(new_files[0]),
        )
    return plan


def require_no_orphans(job: Job, store: Store) -> None:
    """ConfigError if there are parts but no plan: they may be of a job with other rows."""
    if execute(begun(job.spec), store):
        return
    parts = store.list(PARTS)
    if parts and not execute(begun(job.spec), store):  # looked at again: another run may have begun
        raise ConfigError(
            f"output.path: {PARTS} holds files ({len(parts)}), but there is no _job that tells what they "
            "are; choose an empty folder, or remove them too"
        )


def joined(stored: Sequence[bytes]) -> Plan:
    """The plan of a job from the bytes of its plan files."""
    return Plan.join([Plan.from_parquet(data) for data in stored])


def _plan_files(job: Job, before: Plan | None = None) -> Plan:
    plan = make_plan(job.config.input, before, spec_digest(job.spec), job.task)
    check_plan_names(job.config, job.task, plan)
    require_no_own_output(job.config, plan.files)
    return plan


def _plan_new_files(job: Job, stored: Sequence[bytes]) -> bytes | None:
    before = joined(stored)
    _, new_files = before.check(job.config.input)
    plan = _plan_files(job, before) if new_files else None
    return plan.to_parquet() if plan and plan.shards else None  # files without a row are still to be filled
