"""A job's rows as a replica would finish them, in this process: everything of a job but Ray and the store."""

import pyarrow as pa

from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.errors import RowError
from pipeline.preflight.job import Job, check_job
from pipeline.replicas.first_answers import ask_alone
from pipeline.replicas.replica import _outcome
from pipeline.row_requests import Outcome
from pipeline.rows.result_rows import ResultRows
from pipeline.shards.make_plan import make_plan


def finished_rows(config: JobConfig) -> pa.Table:
    """The rows of `generations/`."""
    job = check_job(config)
    engine = Engine.load(job.checkpoint, "float32", threads=1, max_batch_rows=4)
    ask_alone(engine, job.requests)
    results = ResultRows(job.config, job.task, engine.config)
    tables = []
    for shard in make_plan(job.config.input, task=job.task).shards:
        prepared = job.preparation.prepared(shard)
        outcomes = [_finished(job, engine, row) for row in prepared.to_pylist()]
        tables.append(results.table(prepared, outcomes))
    return pa.concat_tables(tables)


def _finished(job: Job, engine: Engine, row: dict[str, object]) -> Outcome:
    ids, params = row["prompt_token_ids"], row["params"]
    if ids is None:
        return Outcome(str(row["error_code"]), str(row["error_message"]))
    assert isinstance(ids, list)
    assert isinstance(params, str | None)
    try:
        request, finish = job.requests.start(f"{row['file']}#{row['row']}", ids, params)
    except RowError as error:
        return Outcome(error.code.value, error.message)
    [completion] = engine.run([request])
    return _outcome(completion, finish)
