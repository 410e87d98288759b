"""The plan that a run follows: the first run's, with what later ones added where they were told to extend."""

import logging
from collections.abc import Sequence

from pipeline.config.job import InputSection
from pipeline.durable.commit import PARTS
from pipeline.durable.job_spec import spec_digest
from pipeline.durable.job_start import begun, extend, start
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import Plan
from pipeline.storage.store import Store

logger = logging.getLogger(__name__)


def load_or_make_plan(job: Job, store: Store, extending: bool) -> Plan:
    """The job's plan, with today's paths; ConfigError if the folder is another job's or a file changed."""
    section = job.config.input
    _require_no_orphans(job, store)
    digest = spec_digest(job.spec)
    stored = execute(start(job.spec, lambda: make_plan(section, job=digest).to_parquet()), store)
    if extending:
        stored = execute(extend(stored, lambda plans: _plan_new_files(plans, section, digest)), store)
    plan, new_files = joined(stored).check(section)
    if new_files:
        logger.warning(
            "%d input files are newer than this job's plan and are not part of it, %s for one; "
            "run it with --extend to add them",
            len(new_files),
            new_files[0],
        )
    return plan


def _require_no_orphans(job: Job, store: Store) -> None:
    """ConfigError if there are parts of a job whose plan is gone: this job might give other rows."""
    if execute(begun(job.spec), store):
        return
    parts = store.list(PARTS)
    if parts and not execute(begun(job.spec), store):  # else another run has begun meanwhile
        raise ConfigError(
            f"output.path: there are {len(parts)} files in {PARTS}, but no _job that tells what they "
            "are; choose an empty folder, or remove them too"
        )


def joined(stored: Sequence[bytes]) -> Plan:
    """The plan that plan files, as the store holds them, make up together."""
    return Plan.join([Plan.from_parquet(data) for data in stored])


def _plan_new_files(stored: Sequence[bytes], section: InputSection, job: str) -> bytes | None:
    before = joined(stored)
    _, new_files = before.check(section)
    return make_plan(section, before, job).to_parquet() if new_files else None
