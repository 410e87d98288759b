"""The table of no row in OUT/generations, without which a job that began without rows could not be read."""

import pyarrow as pa

from pipeline.durable.commit import EMPTY_TABLE
from pipeline.preflight.job import Job
from pipeline.reading.columns import check_columns
from pipeline.reading.files import expand
from pipeline.reading.kept_types import KEPT_UNFIT, kept_schema
from pipeline.rows.prepare import KEPT, PREPARED
from pipeline.rows.result_rows import ResultRows
from pipeline.shards.plan import Plan
from pipeline.storage.sealed_parquet import sealed_bytes
from pipeline.storage.store import Store


def write_empty_table(job: Job, store: Store, plan: Plan) -> None:
    """Write the table if the job's first plan has no shard; before any part of a later one is there.

    Files that come later decide the types of kept columns, so it is written anew for them.
    """
    if plan.by_plan_file()[0]:
        return
    section = job.config.input
    kept = (
        plan.shards[0].kept if plan.shards else check_columns(expand(section).files, section, task=job.task)
    )
    store.replace(EMPTY_TABLE, sealed_bytes(empty_table(job, kept)))


def empty_table(job: Job, kept: str) -> pa.Table:
    """All columns of the job's parts, of no row; `kept` has the types of kept columns, see `KeptTypes`."""
    fields = [(KEPT + field.name, field.type) for field in kept_schema(kept)]
    if job.config.input.keep:
        fields.append((KEPT + KEPT_UNFIT, pa.string()))
    prepared = pa.schema([*PREPARED, *(pa.field(*field) for field in fields)]).empty_table()
    return ResultRows(job.config, job.task, job.model).table(prepared, [])
