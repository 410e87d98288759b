"""The plan of a job: the shards of every input file, stored before anything is computed, for all its runs.

Input files that come later are planned in a plan file of their own. The plan of the job is all its plan
files, joined.
"""

import dataclasses
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.errors import ConfigError, shown
from pipeline.reading.files import FoundInput, InputFile
from pipeline.reading.not_taken import NotTaken
from pipeline.shards.shard import Shard
from pipeline.shards.shard_table import REPEATED, ShardTable
from pipeline.storage.sealed_parquet import read_metadata, sealed_bytes, whole_sha256

FILES_KEY = b"mixtray.files"
_ROW_GROUP = 4096  # shards; while a plan is read, one row group is in memory both encoded and decoded


@dataclass(frozen=True)
class InputToday:
    """The files of a plan beside those that the input has now."""

    paths: dict[str, str]  # where to open the files that are as they were planned, by name
    new: list[str]  # names of files, not of 0 bytes, that are not part of the plan: most came since
    missing: list[str]  # names of planned files
    changed: list[str]
    not_taken: NotTaken


@dataclass(frozen=True)
class Plan:
    shards: Sequence[Shard]  # a ShardTable where there may be many
    files: tuple[InputFile, ...]  # also those without a row
    extensions: tuple[int, ...] = ()  # ordinals at which the second plan file begins, the third, ...

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
        """One row a shard; the files are in the footer's metadata."""
        files = json.dumps([dataclasses.asdict(file) for file in self.files], ensure_ascii=False)
        table = ShardTable.of(self.shards).as_stored()
        return sealed_bytes(table, {FILES_KEY: files.encode()}, row_group_size=_ROW_GROUP)

    @staticmethod
    def from_parquet(data: bytes) -> "Plan":
        """ValueError, with a sentence, if the file is not what `to_parquet` wrote."""
        whole_sha256(data)
        metadata = read_metadata(io.BytesIO(data))
        if FILES_KEY not in metadata:
            raise ValueError("it is no plan")
        files = json.loads(metadata[FILES_KEY])
        stored = pq.ParquetFile(pa.BufferReader(data), read_dictionary=REPEATED)
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

    def check(self, today: FoundInput, to_do: Iterable[Shard]) -> InputToday:
        """Before a resume: what has become of the planned files, given those that are there today.

        ConfigError names the missing and the changed ones of which a shard is among those `to_do`.
        """
        there = {file.name: file for file in today.files}
        planned = {file.name: file.etag for file in self.files}
        missing = [name for name in planned if name not in there]
        changed = [name for name, etag in planned.items() if name in there and there[name].etag != etag]
        if missing or changed:
            needed = {shard.name for shard in to_do}
            troubles = [("missing", missing), ("changed", changed)]
            found = [(what, [name for name in names if name in needed]) for what, names in troubles]
            if told := "; ".join(f"{what}: {_some(names)}" for what, names in found if names):
                raise ConfigError(
                    f"input.path: the input is not what this job began with ({told}); "
                    "put the files back, or start a new job with another output.path"
                )
        gone = {*missing, *changed}
        paths = {name: there[name].file for name in planned if name not in gone}
        new = [name for name, file in there.items() if name not in planned and file.size]
        return InputToday(paths, new, missing, changed, today.not_taken)


def _some(names: list[str]) -> str:
    return ", ".join(map(shown, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
