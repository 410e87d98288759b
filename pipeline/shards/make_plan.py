"""Input files cut into shards of exact row counts: JSONL at line ends, Parquet at row groups.

A shard's id is a hash of its job's digest, its file's name and etag, and its range. So the same job always
has the same plan, and jobs whose rows may differ share no shard id.
"""

import hashlib
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from itertools import count
from typing import Any

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, shortened
from pipeline.reading.columns import check_columns
from pipeline.reading.files import InputFile, expand
from pipeline.reading.kept_types import KeptBefore
from pipeline.reading.parquet import read_footer
from pipeline.reading.streams import SHARD_BYTES, cut_at_lines, read_file, read_range, without_blank_end
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.shards.shard_table import ShardTable
from pipeline.storage.credentials import named
from pipeline.task import Task


def make_plan(
    section: InputSection,
    before: Plan | None = None,
    job_digest: str = "",
    task: Task[Any] | None = None,
) -> Plan:
    """Find the files, check that the columns the job needs are there, and cut the files into shards.

    JSONL files are read once from end to end, of Parquet files only the footers. With a plan `before`, only
    files that it does not name are planned: their ordinals go on after its own, and their kept columns get
    its types. `job_digest` goes into the shards' ids, see `pipeline.durable.job_spec.spec_digest`. The
    columns that `task` needs must be there too.

    ConfigError if no file has a row. With `input.allow_empty` such a plan names no file, so that each of them
    may still be filled.
    """
    try:
        return _make_plan(section, before or Plan((), ()), job_digest, task)
    except PermissionError as error:
        where = f"{named(str(error.filename))}: " if error.filename else ""
        raise ConfigError(f"input.path: {where}no permission to read it ({error.strerror})") from None


def _make_plan(section: InputSection, before: Plan, job_digest: str, task: Task[Any] | None) -> Plan:
    if before.files and section.limit is not None:
        raise ConfigError("input.limit: a job of the first rows takes no further files: run without --extend")
    planned = {file.name for file in before.files}
    found = expand(section, planned)
    files = [file for file in found.files if file.name not in planned]
    kept = check_columns(files, section, _kept_before(before), task)
    shards = ShardTable.of(_shards(files, section, kept, len(before.shards), job_digest))
    if not shards:
        _require_may_be_empty(section, files)
    return Plan(shards, tuple(files) if shards else ())


def has_rows(files: Collection[InputFile], section: InputSection) -> bool:
    """Whether one of the files has a row; reads no more than it must.

    ConfigError if none has, unless the job may be empty.
    """
    found = any(True for file in files for _ in _cuts(file, section.shard_rows))
    if not found:
        _require_may_be_empty(section, files)
    return found


def _require_may_be_empty(section: InputSection, files: Collection[InputFile]) -> None:
    if not section.allow_empty:
        names = shortened(", ".join(file.name for file in files), 200)
        raise ConfigError(
            f"input.path: none of its files has a row ({len(files):,}: {names}); if a job without rows is "
            "fine, set input.allow_empty: true"
        )


def _shards(
    files: Iterable[InputFile], section: InputSection, kept: str, first_ordinal: int, job_digest: str
) -> Iterator[Shard]:
    ordinals = count(first_ordinal)
    left = sys.maxsize if section.limit is None else section.limit
    for file in files:
        first_row = 0
        for cut in _cuts(file, section.shard_rows):
            if left < cut["rows"]:
                cut = _beginning(file, cut, left) if left else {}
            if not cut:
                return
            left -= cut["rows"]
            yield _shard(job_digest, file, kept, next(ordinals), first_row, **cut)
            first_row += cut["rows"]


def _kept_before(plan: Plan) -> KeptBefore | None:
    if not plan.shards:
        return None
    return KeptBefore(plan.shards[0].kept, any(file.format == "jsonl" for file in plan.files))


def _shard(job_digest: str, file: InputFile, kept: str, ordinal: int, first_row: int, **cut: Any) -> Shard:
    shard = Shard(
        ordinal=ordinal, id="", file=file.file, name=file.name, etag=file.etag,
        format=file.format, first_row=first_row, kept=kept, **cut,
    )  # fmt: skip
    return replace(shard, id=shard_id(job_digest, shard))


def shard_id(job_digest: str, shard: Shard) -> str:
    """The id of a shard, which follows from its job, its file and its range."""
    extent = f"{shard.start}:{shard.end}:{shard.skip}:{shard.rows}"
    text = f"{job_digest}|{shard.name}|{shard.etag}|{extent}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _cuts(file: InputFile, shard_rows: int) -> Iterator[dict[str, Any]]:
    return (_cut_parquet if file.format == "parquet" else _cut_jsonl)(file, shard_rows)


def _cut_jsonl(file: InputFile, shard_rows: int) -> Iterator[dict[str, Any]]:
    for start, end, rows, broken in cut_at_lines(without_blank_end(read_file(file)), shard_rows):
        yield {"start": start, "end": end, "rows": rows, "broken": broken}


def _beginning(file: InputFile, cut: dict[str, Any], rows: int) -> dict[str, Any]:
    """The first rows of a shard, fewer than it has."""
    if file.format == "parquet":
        return cut | {"rows": rows}
    lines = cut_at_lines(read_range(file.file, file.etag, cut["start"], cut["end"]), rows)
    _, end, _, _ = next(lines)
    return cut | {"end": cut["start"] + end, "rows": rows, "broken": False}


def _cut_parquet(file: InputFile, shard_rows: int) -> Iterator[dict[str, Any]]:
    """A shard takes whole row groups while they fit; a row group that is too large is cut into slices."""
    footer = read_footer(file)
    start = rows = size = 0
    for row_group in range(footer.num_row_groups):
        its_rows = footer.row_group(row_group).num_rows
        its_bytes = footer.row_group(row_group).total_byte_size
        if rows and (rows + its_rows > shard_rows or size + its_bytes > SHARD_BYTES):
            yield {"start": start, "end": row_group, "rows": rows}
            rows = 0
        if rows == 0:
            start, size = row_group, 0
        if its_rows > shard_rows or its_bytes > SHARD_BYTES:
            fit = max(1, its_rows * SHARD_BYTES // max(1, its_bytes))
            step = min(shard_rows, fit)
            for skip in range(0, its_rows, step):
                yield {
                    "start": row_group,
                    "end": row_group + 1,
                    "rows": min(step, its_rows - skip),
                    "skip": skip,
                }
            continue
        rows, size = rows + its_rows, size + its_bytes
    if rows:
        yield {"start": start, "end": footer.num_row_groups, "rows": rows}
