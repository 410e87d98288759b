"""What stands in the output folder beside the rows: router tables, the report and _SUCCESS.

All of it is computed from the committed parts alone, so it is the same whichever run finishes the job.
"""

import hashlib
import io
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable.protocol import RouterTable
from pipeline.durable.publishing import read_footer
from pipeline.reporting.routing_tables import (
    Sums,
    experts_table,
    from_parquet,
    layers_table,
    merge,
    pairs_table,
)
from pipeline.reporting.summary import ShardSummary
from pipeline.storage.store import Store

_READERS = 16  # at once; an object store's answers take their time


def read_parts(store: Store, paths: Iterable[str]) -> tuple[list[ShardSummary], Sums]:
    """The summaries of committed parts, and the sum of the router tables that they name."""

    def read(path: str) -> tuple[ShardSummary, Sums]:
        with store.open_file(path) as part:
            summary, router = read_footer(part)
        return summary, _router_sums(store, router) if router else {}

    with ThreadPoolExecutor(_READERS) as pool:
        parts = list(pool.map(read, paths))
    return [summary for summary, _ in parts], merge(sums for _, sums in parts)


def _router_sums(store: Store, router: RouterTable) -> Sums:
    data = store.read(router.path)
    if hashlib.sha256(data).hexdigest() != router.sha256:
        raise RuntimeError(f"{store.url(router.path)}: changed since its part was committed")
    return from_parquet(data)


def write_router_tables(store: Store, sums: Sums) -> pd.DataFrame | None:
    """OUT/router/*.parquet; returns the experts table, or None where nothing was routed."""
    if not sums:
        return None
    tables = {"experts": experts_table(sums), "pairs": pairs_table(sums), "layers": layers_table(sums)}
    for name, table in tables.items():
        store.replace(f"router/{name}.parquet", _to_bytes(table))
    experts: pd.DataFrame = tables["experts"].to_pandas()
    return experts


def _to_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
