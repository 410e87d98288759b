"""The plan: the shards of every input file, known before anything is computed and stored once for all runs.

A shard is the unit of work and of the commit. Files that come later are planned by themselves, and the plan
of the job is all its plan files, joined.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config import InputSection
from pipeline.errors import ConfigError
from pipeline.reading.files import Format, InputFile, expand

FILES_KEY = b"mixtray.files"
ARROW_TYPES: dict[Any, pa.DataType] = {
    int: pa.int64(), str: pa.string(), bool: pa.bool_(), Format: pa.string(),
}  # fmt: skip
_ROW_GROUP = 4096  # shards that a run which reads the plan holds twice, in Arrow's memory and in its own


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
        table = pa.Table.from_pylist(rows, schema=schema)
        pq.write_table(table, buffer, row_group_size=_ROW_GROUP, compression="zstd")
        return buffer.getvalue()

    @staticmethod
    def from_parquet(data: bytes) -> "Plan":
        stored = pq.ParquetFile(pa.BufferReader(data))
        files = json.loads(stored.schema_arrow.metadata[FILES_KEY])
        names = [field.name for field in dataclasses.fields(Shard) if field.name in stored.schema_arrow.names]
        shards: list[Shard] = []
        for group in range(stored.num_row_groups):
            table = stored.read_row_group(group).select(names)
            columns = (_shared(column.to_pylist()) for column in table.itercolumns())
            rows = zip(*columns, strict=True)
            shards.extend(Shard(**dict(zip(names, row, strict=True))) for row in rows)
        return Plan(
            shards=tuple(shards),
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


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
