"""The router tables of a job, OUT/router/*.parquet."""

import pandas as pd
import pyarrow as pa

from pipeline.router.sums import Sums
from pipeline.router.tables import NOTHING, experts_table, layers_table, pairs_table
from pipeline.storage.output_folder import ROUTER_TABLES
from pipeline.storage.sealed_parquet import sealed_bytes
from pipeline.storage.store import Store


def write_router_tables(store: Store, sums: Sums, counted: bool = True) -> pd.DataFrame | None:
    """Write or replace the tables; returns the one of experts.

    Without sums they have no row, as where all rows are errors; None if such a job's router is not `counted`.
    """
    if not sums and not counted:
        return None
    tables = published_tables(sums)
    for path, table in tables.items():
        store.replace(path, sealed_bytes(table))
    experts: pd.DataFrame = tables[ROUTER_TABLES["experts"]].to_pandas()
    return experts


def published_tables(sums: Sums) -> dict[str, pa.Table]:
    """The tables of these sums by their paths; without sums they have no row."""
    given, rows = (sums, None) if sums else (NOTHING, 0)
    tables = {"experts": experts_table(given), "pairs": pairs_table(given), "layers": layers_table(given)}
    return {ROUTER_TABLES[name]: table.slice(0, rows) for name, table in tables.items()}
