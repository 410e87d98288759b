"""The plan: every input file cut into shards of exact row counts, before anything is computed.

A shard is the unit of work and of the commit. Its id follows from its job, its file's name, its file's tag
and its range, so the same job always has the same plan, and jobs whose rows may differ have no shard in
common. Files that come later are planned by themselves, and the plan of the job is all its plan files,
joined.
"""

import dataclasses
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import InputSection
from pipeline.errors import ConfigError
from pipeline.reading.columns import check_columns
from pipeline.reading.files import Format, InputFile, expand
from pipeline.reading.kept import KeptBefore
from pipeline.reading.parquet import read_footer
from pipeline.reading.streams import SHARD_BYTES, cut_at_lines, read_file
from pipeline.storage.urls import redact

FILES_KEY = b"mixtray.files"


@dataclass(frozen=True, slots=True)  # a plan may hold hundreds of thousands
class Shard:
    ordinal: int  # position in the plan, 0-based
    id: str  # sha256(digest of the job's spec | name | etag | range)[:16]
    file: str  # path or URL to open
    name: str  # the file as users see it: relative to the common folder of the input
    etag: str  # the store's, or size and modification time
    format: Format
    first_row: int  # number of its first row in the file, 0-based
    rows: int  # exact
    start: int  # jsonl: byte offset in the decompressed stream; parquet: first row group
    end: int  # exclusive
    skip: int = 0  # parquet: rows of the first row group that belong to earlier shards
    broken: bool = False  # jsonl: its last row stands for all that could not be decompressed
    kept: str = ""  # types of the job's kept columns, the same in all shards, see kept.py


@dataclass(frozen=True)
class Plan:
    shards: tuple[Shard, ...]
    files: tuple[InputFile, ...]  # also those without a row
    extensions: tuple[int, ...] = ()  # ordinals at which the plan's second file begins, its third, ...

    @property
    def plan_files(self) -> int:
        """How many files this plan was stored in."""
        return 1 + len(self.extensions)

    def by_plan_file(self) -> list[tuple[Shard, ...]]:
        """The shards of each of the files that this plan was stored in."""
        bounds = pairwise((0, *self.extensions, len(self.shards)))
        return [self.shards[first:end] for first, end in bounds]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def to_parquet(self) -> bytes:
        """One row a shard; the files are in the schema's metadata."""
        fields = [(field.name, ARROW_TYPES[field.type]) for field in dataclasses.fields(Shard)]
        files = json.dumps([dataclasses.asdict(file) for file in self.files], ensure_ascii=False)
        schema = pa.schema(fields, metadata={FILES_KEY: files.encode()})
        buffer = io.BytesIO()
        rows = [dataclasses.asdict(shard) for shard in self.shards]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
        return buffer.getvalue()

    @staticmethod
    def from_parquet(data: bytes) -> "Plan":
        stored = pq.ParquetFile(pa.BufferReader(data))
        files = json.loads(stored.schema_arrow.metadata[FILES_KEY])
        names = [field.name for field in dataclasses.fields(Shard) if field.name in stored.schema_arrow.names]
        columns = (stored.read([name])[name] for name in names)  # one by one takes half of the memory
        rows = zip(*(_shared(column.to_pylist()) for column in columns), strict=True)
        return Plan(
            shards=tuple(Shard(**dict(zip(names, row, strict=True))) for row in rows),
            files=tuple(InputFile(**file) for file in files),
        )

    @staticmethod
    def join(plans: Sequence["Plan"]) -> "Plan":
        """The plan of a job from what its plan files hold, in their order."""
        lengths = [len(plan.shards) for plan in plans]
        return Plan(
            shards=tuple(shard for plan in plans for shard in plan.shards),
            files=tuple(file for plan in plans for file in plan.files),
            extensions=tuple(accumulate(lengths[:-1])),
        )

    def check(self, section: InputSection) -> tuple["Plan", list[str]]:
        """Before a resume: the planned files must be there, unchanged; ConfigError names those that are not.

        Returns the plan with today's paths (the same files may be reached another way) and the names of
        files that came since: they are not part of this job.
        """
        today = {file.name: file for file in expand(section)}
        missing = [file.name for file in self.files if file.name not in today]
        changed = [f.name for f in self.files if f.name in today and today[f.name].etag != f.etag]
        if missing or changed:
            troubles = [("missing", missing), ("changed", changed)]
            found = "; ".join(f"{what}: {_some(names)}" for what, names in troubles if names)
            raise ConfigError(
                f"input.path: the input is not what this job began with ({found}); "
                "put the files back, or start a new job with another output.path"
            )
        planned = {file.name for file in self.files}
        shards = tuple(
            shard if shard.file == (file := today[shard.name].file) else dataclasses.replace(shard, file=file)
            for shard in self.shards
        )
        files = tuple(today[file.name] for file in self.files)
        return dataclasses.replace(self, shards=shards, files=files), [
            name for name in today if name not in planned
        ]


def _shared(values: list[Any]) -> list[Any]:
    """The same values, with equal ones in memory once."""
    seen: dict[Any, Any] = {}
    return [seen.setdefault(value, value) for value in values]


ARROW_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(), str: pa.string(), bool: pa.bool_(), Format: pa.string(),
}  # fmt: skip


def make_plan(section: InputSection, before: Plan | None = None, job: str = "") -> Plan:
    """Find the files, check that the columns the job needs are there, and cut the files into shards.

    Reads JSONL files once from end to end, and of Parquet files the footers. With the plan `before`, only
    the files that it does not name: their ordinals go on after its own, and their kept columns must have its
    types. `job` is what the shards' ids tell it by, see `pipeline.durable.spec.spec_digest`.
    """
    try:
        return _make_plan(section, before or Plan((), ()), job)
    except PermissionError as error:
        where = f"{redact(str(error.filename))}: " if error.filename else ""
        raise ConfigError(f"input.path: {where}no permission to read it") from error


def _make_plan(section: InputSection, before: Plan, job: str) -> Plan:
    planned = {file.name for file in before.files}
    files = [file for file in expand(section) if file.name not in planned]
    kept = check_columns(files, section, _kept_before(before))
    shards: list[Shard] = []
    for file in files:
        cuts = _cut_parquet if file.format == "parquet" else _cut_jsonl
        first_row = 0
        for cut in cuts(file, section.shard_rows):
            ordinal = len(before.shards) + len(shards)
            shards.append(_shard(job, file, kept, ordinal, first_row, **cut))
            first_row += cut["rows"]
    return Plan(tuple(shards), tuple(files))


def _kept_before(plan: Plan) -> KeptBefore | None:
    if not plan.shards:
        return None
    return KeptBefore(plan.shards[0].kept, any(file.format == "jsonl" for file in plan.files))


def _shard(job: str, file: InputFile, kept: str, ordinal: int, first_row: int, **cut: Any) -> Shard:
    extent = f"{cut['start']}:{cut['end']}:{cut.get('skip', 0)}:{cut['rows']}"
    digest = hashlib.sha256(f"{job}|{file.name}|{file.etag}|{extent}".encode()).hexdigest()
    return Shard(
        ordinal=ordinal, id=digest[:16], file=file.file, name=file.name, etag=file.etag,
        format=file.format, first_row=first_row, kept=kept, **cut,
    )  # fmt: skip


def _cut_jsonl(file: InputFile, shard_rows: int) -> Iterator[dict[str, Any]]:
    for start, end, rows, broken in cut_at_lines(read_file(file), shard_rows):
        yield {"start": start, "end": end, "rows": rows, "broken": broken}


def _cut_parquet(file: InputFile, shard_rows: int) -> Iterator[dict[str, Any]]:
    """Whole row groups together while they fit; one that does not is cut into slices."""
    footer = read_footer(file)
    start = rows = size = 0
    for group in range(footer.num_row_groups):
        group_rows = footer.row_group(group).num_rows
        group_size = footer.row_group(group).total_byte_size
        if rows and (rows + group_rows > shard_rows or size + group_size > SHARD_BYTES):
            yield {"start": start, "end": group, "rows": rows}
            rows = 0
        if rows == 0:
            start, size = group, 0
        if group_rows > shard_rows or group_size > SHARD_BYTES:
            fit = max(1, group_rows * SHARD_BYTES // max(1, group_size))
            step = min(shard_rows, fit)
            for skip in range(0, group_rows, step):
                yield {"start": group, "end": group + 1, "rows": min(step, group_rows - skip), "skip": skip}
            continue
        rows, size = rows + group_rows, size + group_size
    if rows:
        yield {"start": start, "end": footer.num_row_groups, "rows": rows}


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
