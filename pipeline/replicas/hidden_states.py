"""Hidden states of a sample of rows: which rows, what is asked of the engine, and the file of a shard.

OUT/hidden_states/part-<ordinal>-<shard>.parquet     one line for each row, layer and token
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from model.requests.layer_states import LayerStates
from model.requests.request import Completion, Request
from pipeline.config.job import JobConfig
from pipeline.config.output import HiddenStatesSection
from pipeline.durable.job_start import begun
from pipeline.durable.operations import execute
from pipeline.preflight.job_plan import joined
from pipeline.shards.shard import Shard
from pipeline.storage.store import Store

_COLUMNS = ("id", "file", "row", "layer", "position", "token_id", "state")


@dataclass(frozen=True)
class HiddenStatesSample:
    """`shards`: how many the job's plan has, over which the sample is spread evenly."""

    section: HiddenStatesSection
    layers: Sequence[int]  # of the section, as they are counted from 0
    shards: int

    @classmethod
    def of_job(
        cls, config: JobConfig, layers: Sequence[int], spec: Mapping[str, Any], store: Store
    ) -> "HiddenStatesSample | None":
        """That of a job that has begun in the store; None if it asks for no hidden states."""
        section = config.output.hidden_states
        return cls(section, layers, len(joined(execute(begun(spec), store)).shards)) if section else None

    def requests(self, shard: Shard, rows: Sequence[dict[str, Any]]) -> dict[int, Request]:
        """Of a shard's prepared rows, those of the sample: the first ones that have a prompt."""
        most = self._up_to(shard.ordinal + 1) - self._up_to(shard.ordinal)
        chosen = [number for number, row in enumerate(rows) if row["prompt_token_ids"] is not None][:most]
        return {
            number: Request(
                f"{rows[number]['file']}#{rows[number]['row']} hidden states",
                rows[number]["prompt_token_ids"],
                readout=LayerStates(),
            )
            for number in chosen
        }

    def file(self, rows: Sequence[dict[str, Any]], completions: dict[int, Completion]) -> bytes | None:
        """The shard's file; None if no row of the sample has hidden states."""
        found = [(rows[i], one.answer) for i, one in completions.items() if one.failure is None]
        if not found:
            return None
        buffer = io.BytesIO()
        pq.write_table(pa.concat_tables(self._table(row, states) for row, states in found), buffer)
        return buffer.getvalue()

    def _up_to(self, ordinal: int) -> int:
        return ordinal * self.section.rows // max(1, self.shards)

    def _table(self, row: dict[str, Any], states: NDArray[np.float32]) -> pa.Table:
        """States [m, K, D] of one row -> K * m lines."""
        m, K, D = states.shape
        flat = pa.array(states.transpose(1, 0, 2).ravel(), pa.float32())
        columns = [
            pa.repeat(pa.scalar(row["id"], pa.string()), K * m),
            pa.repeat(pa.scalar(row["file"], pa.string()), K * m),
            pa.repeat(pa.scalar(row["row"], pa.int64()), K * m),
            pa.array(np.repeat(self.layers, m), pa.int32()),
            pa.array(np.tile(np.arange(m), K), pa.int32()),
            pa.array(np.tile(row["prompt_token_ids"], K), pa.int32()),
            pa.FixedSizeListArray.from_arrays(flat, D),
        ]
        return pa.table(columns, names=_COLUMNS)
