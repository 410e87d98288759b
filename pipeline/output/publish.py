"""The last stage in Ray Data: commits a finished shard as one immutable Parquet file.

The driver gets the file's path and hash, and a summary of its rows.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.durable.commit import part_path, publish
from pipeline.durable.job_start import require_begun
from pipeline.durable.operations import execute
from pipeline.errors import hide_row_text
from pipeline.output.part_file import part_bytes
from pipeline.reporting.summary import ShardSummary
from pipeline.shards.carried_shard import CarriedShard
from pipeline.storage.store import Store
from pipeline.task import Task


@dataclass(frozen=True)
class Publishing:
    """Takes a packed shard with its finished rows; returns the part's path, sha256 and summary (JSON)."""

    store: Store
    task: Task[Any]
    spec: Mapping[str, Any]

    def __call__(self, table: pa.Table) -> pa.Table:
        finished = CarriedShard.unpacked(table)
        with hide_row_text(finished.shard.id):
            return self._publish(finished)

    def _publish(self, finished: CarriedShard) -> pa.Table:
        execute(require_begun(self.spec), self.store)
        rows = finished.rows
        summary = ShardSummary.of(rows, self.task, finished.path)
        path = part_path(finished.shard)
        steps = publish(
            finished.shard, finished.router_table, lambda table: part_bytes(path, rows, summary, table)
        )
        published = execute(steps, self.store)
        return pa.table(
            {
                "path": [published.path],
                "sha256": pa.array([published.sha256], pa.string()),
                "summary": [json.dumps(summary.to_json())],
            }
        )
