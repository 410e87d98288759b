"""The router tables of a job, OUT/router/*.parquet."""

import pandas as pd
import pyarrow as pa

from pipeline.router.sums import Sums
from pipeline.router.tables import experts_table, layers_table, pairs_table
from pipeline.storage.sealed_parquet import sealed_bytes
from pipeline.storage.store import Store


def write_router_tables(store: Store, sums: Sums) -> pd.DataFrame | None:
    """Write or replace the tables; returns the one of experts, or None if nothing was routed."""
    if not sums:
        return None
    tables = published_tables(sums)
    for path, table in tables.items():
        store.replace(path, sealed_bytes(table))
    experts: pd.DataFrame = tables["router/experts.parquet"].to_pandas()
    return experts


def published_tables(sums: Sums) -> dict[str, pa.Table]:
    """The tables of these sums by their paths."""
    tables = {"experts": experts_table(sums), "pairs": pairs_table(sums), "layers": layers_table(sums)}
    return {f"router/{name}.parquet": table for name, table in tables.items()}
