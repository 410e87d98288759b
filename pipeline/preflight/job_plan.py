"""The plan that a run follows, and what of it is still to do.

The plan is of the files of the job's first run, and of those that runs with --extend added.
"""

import logging
from collections.abc import Collection, Sequence

from pipeline.durable.commit import PARTS, missing_of, part_path, parts_there, remaining
from pipeline.durable.damage import damaged, naming_damage
from pipeline.durable.job_spec import spec_digest
from pipeline.durable.job_start import begun, extend, plan_path, start
from pipeline.durable.operations import Read, apply, execute
from pipeline.durable.same_machine import stored_machine
from pipeline.errors import ConfigError, shown
from pipeline.preflight.apart import require_no_own_output
from pipeline.preflight.checked_input import check_plan
from pipeline.preflight.job import Job
from pipeline.reading.files import FoundInput, expand
from pipeline.reading.not_taken import NotTaken
from pipeline.shards.make_plan import shard_id
from pipeline.shards.plan import InputToday, Plan
from pipeline.shards.shard_table import ShardTable
from pipeline.storage.store import Store

logger = logging.getLogger(__name__)


def load_or_make_plan(job: Job, store: Store, extending: bool) -> Plan:
    """Return the stored plan, or make one and store it.

    ConfigError if the output folder is another job's, DamagedFile if a stored file is not what was written.
    """
    stored = execute(start(job.spec, lambda: _stored_or_planned(job, store)), store)
    if extending:
        stored = execute(extend(stored, lambda plans: _plan_new_files(job, store, plans)), store)
    return require_rows_or_allowed(job, joined(stored))


def require_rows_or_allowed(job: Job, plan: Plan) -> Plan:
    """The plan of a job that has begun; ConfigError if it has no row, unless the job may be empty."""
    if not plan.shards and not job.config.input.allow_empty:
        raise ConfigError(
            "output.path: the job that began here has no row: run it with --extend to add files that came, "
            "or set input.allow_empty: true if that is fine"
        )
    return plan


def shards_to_do(job: Job, store: Store, plan: Plan) -> tuple[ShardTable, InputToday]:
    """The shards that are not committed, with the paths at which their files are now; and the input's files.

    ConfigError if a file is missing or has changed of which a shard is to do. Files whose shards are all
    committed are not needed.
    """
    to_do = ShardTable.of(execute(remaining(plan), store))
    if to_do and job.config.engine.deterministic == "shard":
        execute(stored_machine(), store)  # the replicas would find late that it is damaged
    planned = {file.name for file in plan.files}
    today = plan.check(_files_today(job, planned, needed=bool(to_do)), to_do)
    require_no_own_output(job.config, plan.files)
    return to_do.opened_at(today.paths), today


def warn_of_input(job: Job, today: InputToday) -> None:
    """Of files that this run leaves out."""
    if today.not_taken:
        logger.warning("not taken of input.path: %s", today.not_taken)
    if today.new and job.config.input.limit is None:
        logger.warning(
            "files that came after this job was planned, or that had no row then, are not part of it "
            "(%d, %s for one); run it with --extend to add those that have rows",
            len(today.new),
            shown(today.new[0]),
        )
    if gone := [*today.missing, *today.changed]:
        logger.warning(
            "input files are missing or have changed since this job began (%d, %s for one); all their rows "
            "were committed before, and stay as they are",
            len(gone),
            shown(gone[0]),
        )


def plan_anew(job: Job, store: Store, before: Plan | None = None) -> Plan:
    """A plan of the input files that `before` does not name, which becomes the job's next plan file.

    ConfigError if there are parts that are of no shard of either: they may be of a job with other rows.
    DamagedFile if there is a later plan file, whose files this one would name too.
    """
    plan = check_plan(job, before)
    strange = execute(parts_there(plan), store)
    strange.difference_update(map(part_path, plan.shards), map(part_path, before.shards if before else ()))
    number = before.plan_files if before else 0
    next_file = plan_path(number)
    if store.exists(next_file):  # another run has planned meanwhile
        return plan
    if store.exists(plan_path(number + 1)):
        raise damaged(next_file, "it is missing, and there is a later one")
    if strange:
        raise ConfigError(
            f"output.path: {PARTS} holds files ({len(strange)}), but there is no {next_file} that tells what "
            f"they are ({min(strange)} for one); choose an empty folder, or remove them too"
        )
    return plan


def joined(stored: Sequence[bytes]) -> Plan:
    """The plan of a job from the bytes of its plan files; DamagedFile names one that is not sound."""
    return Plan.join([_read_plan(number, data) for number, data in enumerate(stored)])


def _read_plan(number: int, data: bytes) -> Plan:
    with naming_damage(plan_path(number)):
        return Plan.from_parquet(data)


def _stored_or_planned(job: Job, store: Store) -> bytes:
    """The first plan file of a folder without a spec: there is one if the spec was removed."""
    stored = apply(Read(plan_path(0)), store)
    if stored is None:
        return plan_anew(job, store).to_parquet()
    digest = spec_digest(job.spec)
    if any(shard.id != shard_id(digest, shard) for shard in _read_plan(0, stored).shards[:1]):
        execute(begun(job.spec), store)  # another run may have begun meanwhile
        raise ConfigError(
            f"output.path: {plan_path(0)} there is of another job, or of other settings, and its spec is "
            "missing; choose an empty folder"
        )
    return bytes(stored)


def _plan_new_files(job: Job, store: Store, stored: Sequence[bytes]) -> bytes | None:
    before = joined(stored)
    planned = {file.name for file in before.files}
    found = _files_today(job, planned, needed=True)
    # A plan file may be lost whose parts are there: they are no strangers, see `plan_anew`.
    today = before.check(found, missing_of(before, execute(parts_there(before), store)))
    if today.changed:
        raise ConfigError(
            f"input.path: the input is not what this job began with (changed: {shown(today.changed[0])}); "
            "--extend adds new files, not new rows of old ones: give the new rows a file of their own"
        )
    plan = plan_anew(job, store, before) if today.new else None
    return plan.to_parquet() if plan and plan.shards else None  # files without a row are still to be filled


def _files_today(job: Job, planned: Collection[str], needed: bool) -> FoundInput:
    """The input's files; none if they can't be listed and are not `needed`."""
    try:
        return expand(job.config.input, planned)
    except (ConfigError, OSError):
        if needed:
            raise
        return FoundInput([], NotTaken())
