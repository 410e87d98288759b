"""Hidden states of a sample of rows: which rows, and the files that they are written to.

OUT/hidden_states/part-<ordinal>-<shard>-<group>.parquet     one line for each row, layer and token

A shard's sample is divided into groups of rows, each with a file of its own: so no more than a group's states
are in memory. The groups follow from the prompts alone, and with them which rows a file is of: files of two
attempts at a shard never hold the same row twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.config.job import JobConfig
from pipeline.config.output import HiddenStatesSection
from pipeline.durable.commit import part_path
from pipeline.durable.job_start import begun
from pipeline.durable.operations import execute
from pipeline.preflight.hidden_states import GROUP_BYTES, state_bytes
from pipeline.preflight.job_plan import joined
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard
from pipeline.storage.output_folder import HIDDEN_STATES, PARTS
from pipeline.storage.store import Store

_FIELDS = [
    ("id", pa.string()),
    ("file", pa.string()),
    ("row", pa.int64()),
    ("layer", pa.int32()),
    ("position", pa.int32()),
    ("token_id", pa.int32()),
]
_ROW_GROUP_BYTES = 8 << 20  # of states that are laid out for the file at a time


@dataclass(frozen=True)
class HiddenStatesSample:
    """`shards`: of the input that the job began with, over which `rows` of the section are spread evenly.

    Shards of files that came later have the same share of rows: so a shard's sample never changes.
    """

    section: HiddenStatesSection
    layers: Sequence[int]  # of the section, as they are counted from 0
    dim: int
    shards: int

    @classmethod
    def of_job(
        cls, config: JobConfig, layers: Sequence[int], dim: int, spec: Mapping[str, Any], store: Store
    ) -> "HiddenStatesSample | None":
        """That of a job that has begun in the store; None if it asks for no hidden states."""
        section = config.output.hidden_states
        if section is None:
            return None
        return cls(section, layers, dim, _shards_at_first(joined(execute(begun(spec), store))))

    def groups(self, shard: Shard, rows: Sequence[dict[str, Any]]) -> list[list[int]]:
        """The shard's sample, the first of its prepared rows that have a prompt; counted from its first row.

        A group's states take GROUP_BYTES at most, or it is one row.
        """
        most = self._up_to(shard.ordinal + 1) - self._up_to(shard.ordinal)
        prompts = [(number, row["prompt_token_ids"]) for number, row in enumerate(rows)]
        groups: list[list[int]] = []
        size = 0
        for number, prompt in [one for one in prompts if one[1] is not None][:most]:
            states = len(prompt) * state_bytes(len(self.layers), self.dim)
            if not groups or size + states > GROUP_BYTES:
                groups.append([])
                size = 0
            groups[-1].append(number)
            size += states
        return groups

    def file(self, states: Sequence[tuple[dict[str, Any], NDArray[np.float32]]]) -> bytes:
        """The file of some rows and their states, [m, K, D] each."""
        sink = pa.BufferOutputStream()
        repeated = ["id", "file", "row", "layer"]  # a dictionary of states would only take room
        with pq.ParquetWriter(sink, self._schema, use_dictionary=repeated) as writer:
            waiting: list[pa.Table] = []
            for row, of_row in states:
                for table in self._tables(row, of_row):
                    waiting.append(table)
                    if sum(one.nbytes for one in waiting) >= _ROW_GROUP_BYTES:
                        writer.write_table(pa.concat_tables(waiting))
                        waiting = []
            if waiting:
                writer.write_table(pa.concat_tables(waiting))
        data: bytes = sink.getvalue().to_pybytes()
        return data

    @property
    def _schema(self) -> pa.Schema:
        return pa.schema([*_FIELDS, ("state", pa.list_(pa.float32(), self.dim))])

    def _up_to(self, ordinal: int) -> int:
        return ordinal * self.section.rows // max(1, self.shards)

    def _tables(self, row: dict[str, Any], states: NDArray[np.float32]) -> Iterator[pa.Table]:
        """States [m, K, D] of one row -> m lines for each layer."""
        m, _, D = states.shape
        for k, layer in enumerate(self.layers):
            columns = [
                pa.repeat(pa.scalar(row["id"], pa.string()), m),
                pa.repeat(pa.scalar(row["file"], pa.string()), m),
                pa.repeat(pa.scalar(row["row"], pa.int64()), m),
                pa.repeat(pa.scalar(layer, pa.int32()), m),
                pa.array(np.arange(m), pa.int32()),
                pa.array(row["prompt_token_ids"], pa.int32()),
                pa.FixedSizeListArray.from_arrays(pa.array(states[:, k].ravel(), pa.float32()), D),
            ]
            yield pa.table(columns, schema=self._schema)


def group_path(shard: Shard, group: int) -> str:
    """The file of a shard's group, counted from 0."""
    part = part_path(shard).replace(PARTS, HIDDEN_STATES, 1).removesuffix(".parquet")
    return f"{part}-{group:04d}.parquet"


def _shards_at_first(plan: Plan) -> int:
    """Those of the first plan file that has any."""
    return next((len(shards) for shards in plan.by_plan_file() if len(shards)), 0)
