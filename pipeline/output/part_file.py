"""A part: the Parquet file of a shard's rows, whose footer says what it holds.

The footer has the part's own path, the shard's summary, and names its router table, so that a later run
learns what a part holds without reading its rows.
"""

import json
from dataclasses import asdict
from typing import Any, BinaryIO

import pyarrow as pa

from pipeline.durable.commit import ROUTER, RouterTable
from pipeline.reporting.summary import ShardSummary
from pipeline.storage.sealed_parquet import read_metadata, sealed_bytes

_PART_KEY = b"mixtray.part"
_ROUTER_KEY = b"mixtray.router"
_SUMMARY_KEY = b"mixtray.summary"


def part_bytes(path: str, rows: pa.Table, summary: ShardSummary, router: RouterTable | None) -> bytes:
    """The file of a shard's rows, to lie at `path`; `router` is None where the shard has no router table."""
    values: dict[bytes, Any] = {
        _PART_KEY: path, _SUMMARY_KEY: summary.to_json(), _ROUTER_KEY: router and asdict(router)
    }  # fmt: skip
    return sealed_bytes(rows, {key: json.dumps(value).encode() for key, value in values.items()})


def read_footer(path: str, part: BinaryIO) -> tuple[ShardSummary, RouterTable | None]:
    """The summary and the router table that a part's footer names.

    ValueError, with a sentence, if this is not the part of that path. Of one that was changed, or cut within
    its rows, only `whole_sha256` tells.
    """
    metadata = read_metadata(part)
    if not {_PART_KEY, _SUMMARY_KEY, _ROUTER_KEY} <= metadata.keys():
        raise ValueError("it is no part of mixtray")
    values = {key: json.loads(metadata[key]) for key in (_PART_KEY, _SUMMARY_KEY, _ROUTER_KEY)}
    if values[_PART_KEY] != path:
        raise ValueError(f"it was written as {values[_PART_KEY]}, maybe by another job")
    router = RouterTable(**values[_ROUTER_KEY]) if values[_ROUTER_KEY] else None
    if router is not None and not router.path.startswith(f"{ROUTER}/"):
        raise ValueError("what it names as its router table is none")
    return ShardSummary(**values[_SUMMARY_KEY]), router
