"""The router tables of a job, OUT/router/*.parquet."""

import io

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.router.sums import Sums
from pipeline.router.tables import NOTHING, experts_table, layers_table, pairs_table
from pipeline.storage.store import Store


def write_router_tables(store: Store, sums: Sums, counted: bool = True) -> pd.DataFrame | None:
    """Write or replace the tables; returns the one of experts.

    Without sums they have no row, as where all rows are errors; None if such a job's router is not `counted`.
    """
    if not sums and not counted:
        return None
    given = sums or NOTHING
    tables = {"experts": experts_table(given), "pairs": pairs_table(given), "layers": layers_table(given)}
    for name, whole in tables.items():
        table = whole if sums else whole.slice(0, 0)
        store.replace(f"router/{name}.parquet", _to_bytes(table))
        tables[name] = table
    experts: pd.DataFrame = tables["experts"].to_pandas()
    return experts


def _to_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
