"""The router tables of a job, OUT/router/*.parquet."""

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.router.sums import Sums
from pipeline.router.tables import experts_table, layers_table, pairs_table
from pipeline.storage.store import Store


def write_router_tables(store: Store, sums: Sums) -> pd.DataFrame | None:
    """Write or replace the tables; returns the one of experts, or None if nothing was routed."""
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
