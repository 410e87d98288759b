"""A hostile input and what must come of it: a code for every row, or the sentence of a ConfigError."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError, job_error
from pipeline.output.verified import Verified
from pipeline.output.verify import verify
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import shards_to_do
from pipeline.reporting.check_progress import CheckProgress
from pipeline.shards.carried_shard import CarriedShard, name_shard
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import Plan
from pipeline.storage.open_store import open_store
from tests import small_output

OK = "ok"
TINY = Path("configs/demo/tiny-mixtral")


@dataclass(frozen=True)
class Case:
    """`make(folder)` writes `folder`/in, perhaps `folder`/model, and may give sections or the job file.

    rows     what becomes of each row, in order: OK or an error code
    refused  or else: a pattern that the ConfigError's message matches
    columns  values of some columns of the prepared rows (`keep.x` for a kept one), as strings
    types    Arrow types of some columns, which every shard must have
    resumes  `make` has left an output; the job goes on there, and `verify` checks it: `refused` matches the
             message of the first, a |, and what the latter names
    """

    make: Callable[[Path], dict[str, Any] | Path | None]
    rows: list[str] | None = None
    refused: str | None = None
    columns: dict[str, list[Any]] = field(default_factory=dict)
    types: dict[str, str] = field(default_factory=dict)
    resumes: bool = False


def run_case(case: Case, folder: Path) -> dict[str, Any]:
    """Plan, read and prepare as a job does; what came of it, as JSON can say it."""
    (folder / "in").mkdir(parents=True)
    made = case.make(folder) or {}
    sections = made if isinstance(made, dict) else {}
    model = folder / "model" if (folder / "model").exists() else TINY
    given = {"path": str(folder / "in"), "prompt": {"column": "text"}, "chat": False}
    data = {
        "job": "hostile",
        "task": "generate",
        "model": {"path": str(model)},
        "output": {"path": str(folder / "out"), "include": ["prompt"]},
        **sections,
        "input": given | sections.get("input", {}),
    }
    if case.resumes:
        return resume(data)
    try:
        config = JobConfig.load(made) if isinstance(made, Path) else JobConfig.model_validate(data)
        job = check_job(config)
        plan = Plan.from_parquet(make_plan(config.input).to_parquet())
        tables = [CarriedShard.unpacked(job.preparation(name_shard(shard))).rows for shard in plan.shards]
    except ConfigError as error:
        return {"refused": str(error)}
    except OSError as error:
        if isinstance(told := job_error(error), ConfigError):
            return {"refused": str(told)}
        raise
    for table in tables:  # as a part is published: what cannot be written is no good either
        pq.write_table(table, pa.BufferOutputStream())
    rows = [code or OK for table in tables for code in table["error_code"].to_pylist()]
    columns = {name: [_text(value) for table in tables for value in table[name]] for name in case.columns}
    types = {name: sorted({str(table.schema.field(name).type) for table in tables}) for name in case.types}
    return {"rows": rows, "columns": columns, "types": types}


def resume(data: dict[str, Any]) -> dict[str, Any]:
    """Go on with a job whose rows are all committed, as a run does; then verify its output."""
    try:
        job, store, plan = small_output.begin(data)
        shards_to_do(job, store, plan)
        small_output.finish(job, store, plan)
    except ConfigError as error:
        found = Verified()
        verify(open_store(data["output"]["path"]), found, CheckProgress())
        return {"refused": f"{error}|{' '.join(one.path for one in found.damage)}"}
    return {"rows": ["not refused"]}


def _text(value: pa.Scalar) -> str | None:
    return pc.cast(value, pa.string()).as_py() if value.is_valid else None


def write_model(folder: Path, **config: Any) -> Path:
    """A copy of the demo's checkpoint in `folder`/model, with keys of its config.json replaced."""
    shutil.copytree(TINY, folder / "model")
    path = folder / "model" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | config))
    write_lines(folder, b'{"text": "a"}')
    return folder / "model"


def write_lines(folder: Path, *lines: bytes, name: str = "a.jsonl") -> None:
    (folder / "in" / name).write_bytes(b"".join(line + b"\n" for line in lines))


def write_table(
    folder: Path, columns: dict[str, Any] | pa.Table, name: str = "a.parquet", **how: Any
) -> None:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, folder / "in" / name, **how)
