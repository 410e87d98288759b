"""A finished shard becomes one immutable Parquet file, and a summary that the driver adds up.

The part's footer names the shard's router table and holds the summary, so a later run can tell what a part
holds without reading its rows.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable.commit import RouterTable, publish
from pipeline.durable.job_start import require_begun
from pipeline.durable.operations import execute
from pipeline.errors import quoting_no_row
from pipeline.reporting.summary import ShardSummary
from pipeline.shards.carried_shard import CarriedShard
from pipeline.storage.store import Store
from pipeline.task import Task

_ROUTER_KEY = b"mixtray.router"
_SUMMARY_KEY = b"mixtray.summary"


@dataclass(frozen=True)
class Publishing:
    """Called with a shard and its finished rows, packed; gives path, sha256 and the summary as JSON."""

    store: Store
    task: Task[Any]
    spec: Mapping[str, Any]

    def __call__(self, table: pa.Table) -> pa.Table:
        finished = CarriedShard.unpacked(table)
        with quoting_no_row(finished.shard.id):
            return self._publish(finished)

    def _publish(self, finished: CarriedShard) -> pa.Table:
        execute(require_begun(self.spec), self.store)
        rows = finished.rows
        summary = ShardSummary.of(rows, self.task.known_and_right(rows))
        published = execute(
            publish(finished.shard, finished.router_table, lambda router: _part(rows, summary, router)),
            self.store,
        )
        return pa.table(
            {
                "path": [published.path],
                "sha256": pa.array([published.sha256], pa.string()),
                "summary": [json.dumps(asdict(summary))],
            }
        )


def _part(rows: pa.Table, summary: ShardSummary, router: RouterTable | None) -> bytes:
    metadata: dict[bytes, Any] = {_SUMMARY_KEY: asdict(summary), _ROUTER_KEY: router and asdict(router)}
    rows = rows.replace_schema_metadata({key: json.dumps(value) for key, value in metadata.items()})
    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, compression="zstd")
    return bytes(buffer.getvalue())


def read_footer(part: BinaryIO) -> tuple[ShardSummary, RouterTable | None]:
    """What a part's footer says of it."""
    metadata = pq.read_metadata(part).metadata
    router = json.loads(metadata[_ROUTER_KEY])
    return ShardSummary(**json.loads(metadata[_SUMMARY_KEY])), RouterTable(**router) if router else None
