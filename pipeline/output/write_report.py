"""What a run leaves for people: router tables and a report over all parts of the job, of whichever run."""

import logging
import multiprocessing
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, replace
from math import inf

from pipeline.cluster.ray_calls import in_thread
from pipeline.durable.commit import part_path, parts_there
from pipeline.durable.job_start import begun
from pipeline.durable.operations import execute
from pipeline.durable.success import success_path
from pipeline.errors import JobError, hide_row_text
from pipeline.output.committed_parts import Parts, read_parts
from pipeline.output.duplicate_ids import count_duplicate_ids
from pipeline.output.router_tables import write_router_tables
from pipeline.preflight.job import Job
from pipeline.preflight.job_plan import joined
from pipeline.reporting.report import Report, make_report, to_html
from pipeline.reporting.summary import ShardSummary
from pipeline.router.groups import MOST_GROUPS, OTHER_GROUP
from pipeline.router.sums import Sums, are_merged, merge
from pipeline.shards.plan import Plan
from pipeline.storage.credentials import redact
from pipeline.storage.output_folder import REPORT, REPORT_PAGE
from pipeline.storage.store import Store
from pipeline.supervision.stop_budget import SECONDS_TO_REPORT

_SHARE_TO_SUM_UP = 0.75  # of the time for the report of an interrupted run

_TOO_LATE = f"the output folder did not answer within {SECONDS_TO_REPORT:g} s"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Total:
    parts: list[Parts]  # by plan file; their router sums are empty
    router: Sums  # of all plan files


def write_report(
    job: Job,
    store: Store,
    state: str,
    new: Sequence[ShardSummary],
    seconds: float,
    known: Mapping[str, str | None] = {},
    until: float = inf,
) -> tuple[Report, list[Parts]]:
    """Write the tables and the report; returns the report, and the sums over the parts of each plan file.

    `known` has the hashes of parts that this run created, by path; those parts are not read whole.

    The plan is read again, since another run may have extended the job meanwhile. If that run ended while
    this one summed, this one's files would replace newer ones: then they are written once more.

    `until`, a time of time.monotonic(), is for interrupted runs. One that has no time to read all parts
    leaves the tables as they are, and reports no sums over parts; TimeoutError if it has no time to write.
    """
    plan, committed = _read_state(job, store)
    while True:
        total = _sum_up(store, plan, committed, state, known, until)
        of_job = _state_of_job(state, _complete(plan, committed))
        if time.monotonic() > until:
            raise TimeoutError(_TOO_LATE)
        report = _write(job, store, plan, committed, total, of_job, new, seconds)
        before = committed
        plan, committed = _read_state(job, store)
        if committed == before or not _complete(plan, committed):
            return report, total.parts if total else []


def report_interrupted(job: Job, store: Store, new: Sequence[ShardSummary], seconds: float) -> None:
    """The report of a run that was stopped; where it can't be written in time, a warning says why."""
    until = time.monotonic() + SECONDS_TO_REPORT

    def report() -> None:
        with hide_row_text():
            write_report(job, store, "interrupted", new, seconds, until=until)

    written = in_thread(report, "report")
    try:
        if not wait([written], SECONDS_TO_REPORT).done:
            raise TimeoutError(_TOO_LATE)
        written.result()
    except (JobError, OSError, MemoryError) as error:  # what is committed stays all the same
        logger.warning("no report was written: %s", redact(str(error)))


def _read_state(job: Job, store: Store) -> tuple[Plan, set[str]]:
    plan = joined(execute(begun(job.spec), store))
    return plan, execute(parts_there(plan), store)


def _complete(plan: Plan, committed: set[str]) -> bool:
    return all(part_path(shard) in committed for shard in plan.shards)


def _state_of_job(of_run: str, complete: bool) -> str:
    """The state of the whole job in the report, given that of this run."""
    if complete:
        return "done"
    return "extended" if of_run == "done" else of_run


def _sum_up(
    store: Store, plan: Plan, committed: set[str], state: str, known: Mapping[str, str | None], until: float
) -> _Total | None:
    """Only parts that no _SUCCESS names yet are hashed. None if there was no time."""
    done = state == "done"
    deadline = until - (1 - _SHARE_TO_SUM_UP) * SECONDS_TO_REPORT
    of_files: list[Parts] = []

    def router_sums() -> Iterator[Sums]:
        for number, shards in enumerate(plan.by_plan_file()):
            paths = [path for path in map(part_path, shards) if path in committed]
            hashed = done and not store.exists(success_path(number))
            parts = read_parts(store, paths, hashed, deadline, known)
            of_files.append(replace(parts, router={}))
            yield parts.router

    try:
        router = merge(router_sums())
    except multiprocessing.TimeoutError:
        return None
    return _Total(of_files, router)


def _write(
    job: Job, store: Store, plan: Plan, committed: set[str], total: _Total | None, state: str,
    new: Sequence[ShardSummary], seconds: float,
) -> Report:  # fmt: skip
    experts = summary = None
    merged = total is not None and are_merged(total.router)
    if total is not None:
        counted = job.config.router.statistics and job.model.num_experts > 0
        experts = write_router_tables(store, total.router, counted)
        summary = ShardSummary.total(parts.summary for parts in total.parts)
    if merged:
        logger.warning(
            "input.group_by: router statistics name the %d largest groups; all others are counted as %s",
            MOST_GROUPS,
            OTHER_GROUP,
        )
    there = [shard for shard in plan.shards if part_path(shard) in committed]
    rows = sum(shard.rows for shard in there)
    duplicates: int | None = 0  # without a column for them, ids are the rows' places
    if job.config.input.id_column is not None:
        counted = state == "done"
        duplicates = count_duplicate_ids(store, [*map(part_path, there)], rows) if counted else None
    report = make_report(
        job.config, job.task, store.url(), state, rows, plan.rows, summary, new, seconds, merged, duplicates
    )
    store.replace(REPORT, report.to_json())
    store.replace(REPORT_PAGE, to_html(report, experts))
    return report
