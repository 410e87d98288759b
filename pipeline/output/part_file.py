"""A part: the Parquet file of a shard's rows, whose footer says what it holds.

The footer has the shard's summary and names its router table, so that a later run learns what a part holds
without reading its rows.
"""

import json
from dataclasses import asdict
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable.commit import RouterTable
from pipeline.reporting.summary import ShardSummary

_ROUTER_KEY = b"mixtray.router"
_SUMMARY_KEY = b"mixtray.summary"


def part_bytes(rows: pa.Table, summary: ShardSummary, router: RouterTable | None) -> bytes:
    """The file of a shard's rows; `router` is None where the shard has no router table."""
    metadata: dict[bytes, Any] = {_SUMMARY_KEY: summary.to_json(), _ROUTER_KEY: router and asdict(router)}
    rows = rows.replace_schema_metadata({key: json.dumps(value) for key, value in metadata.items()})
    buffer = pa.BufferOutputStream()
    pq.write_table(rows, buffer, compression="zstd")
    return bytes(buffer.getvalue())


def read_footer(part: BinaryIO) -> tuple[ShardSummary, RouterTable | None]:
    """The summary and the router table that a part's footer names."""
    metadata = pq.read_metadata(part).metadata
    router = json.loads(metadata[_ROUTER_KEY])
    return ShardSummary(**json.loads(metadata[_SUMMARY_KEY])), RouterTable(**router) if router else None
