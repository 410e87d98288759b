"""The plan of a job: the shards of every input file, stored before anything is computed, for all its runs.

Input files that come later are planned in a plan file of their own. The plan of the job is all its plan
files, joined.
"""

import dataclasses
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, shown
from pipeline.reading.files import InputFile, expand
from pipeline.reading.not_taken import NotTaken
from pipeline.shards.shard import Shard
from pipeline.shards.shard_table import REPEATED, ShardTable

FILES_KEY = b"mixtray.files"
_ROW_GROUP = 4096  # shards; while a plan is read, one row group is in memory both encoded and decoded


@dataclass(frozen=True)
class Plan:
    shards: Sequence[Shard]  # a ShardTable where there may be many
    files: tuple[InputFile, ...]  # also those without a row
    extensions: tuple[int, ...] = ()  # ordinals at which the second plan file begins, the third, ...
    not_taken: NotTaken = field(default=NotTaken(), compare=False)  # of the input as it is now; not stored

    @property
    def plan_files(self) -> int:
        """The number of files in which this plan is stored."""
        return 1 + len(self.extensions)

    def by_plan_file(self) -> list[Sequence[Shard]]:
        """The shards of each plan file."""
        bounds = pairwise((0, *self.extensions, len(self.shards)))
        return [self.shards[first:end] for first, end in bounds]

    @property
    def rows(self) -> int:
        return ShardTable.of(self.shards).rows

    def to_parquet(self) -> bytes:
        """One row a shard; the files are in the schema's metadata."""
        files = json.dumps([dataclasses.asdict(file) for file in self.files], ensure_ascii=False)
        table = ShardTable.of(self.shards).as_stored().replace_schema_metadata({FILES_KEY: files})
        buffer = io.BytesIO()
        pq.write_table(table, buffer, row_group_size=_ROW_GROUP, compression="zstd")
        return buffer.getvalue()

    @staticmethod
    def from_parquet(data: bytes) -> "Plan":
        stored = pq.ParquetFile(pa.BufferReader(data), read_dictionary=REPEATED)
        files = json.loads(stored.schema_arrow.metadata[FILES_KEY])
        groups = [stored.read_row_group(group) for group in range(stored.num_row_groups)]
        shards = ShardTable.join(map(ShardTable, groups))
        return Plan(shards, tuple(InputFile(**file) for file in files))

    @staticmethod
    def join(plans: Sequence["Plan"]) -> "Plan":
        """The plan of a job from those of its plan files, in their order."""
        lengths = [len(plan.shards) for plan in plans]
        return Plan(
            shards=ShardTable.join(ShardTable.of(plan.shards) for plan in plans),
            files=tuple(file for plan in plans for file in plan.files),
            extensions=tuple(accumulate(lengths[:-1])),
        )

    def check(self, section: InputSection) -> tuple["Plan", list[str]]:
        """Before a resume: ConfigError names the planned files that are missing or have changed.

        Returns the plan with the paths at which the files are now (they may have moved with their folder),
        and the names of files that came since, which are not part of the plan.
        """
        planned = {file.name for file in self.files}
        now = expand(section, planned)
        today = {file.name: file for file in now.files}
        missing = [file.name for file in self.files if file.name not in today]
        changed = [f.name for f in self.files if f.name in today and today[f.name].etag != f.etag]
        if missing or changed:
            troubles = [("missing", missing), ("changed", changed)]
            found = "; ".join(f"{what}: {_some(names)}" for what, names in troubles if names)
            raise ConfigError(
                f"input.path: the input is not what this job began with ({found}); "
                "put the files back, or start a new job with another output.path"
            )
        shards = ShardTable.of(self.shards).opened_at({name: file.file for name, file in today.items()})
        files = tuple(today[file.name] for file in self.files)
        checked = dataclasses.replace(self, shards=shards, files=files, not_taken=now.not_taken)
        return checked, [name for name in today if name not in planned]


def _some(names: list[str]) -> str:
    return ", ".join(map(shown, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
