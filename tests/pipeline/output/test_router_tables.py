"""The published router tables are those of the sums."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from model.requests.row_routing import RowRouting
from pipeline.output.router_tables import write_router_tables
from pipeline.router.sums import Sums, sum_by_group
from pipeline.router.tables import experts_table, layers_table, pairs_table
from pipeline.storage.open_store import open_store


@pytest.fixture
def sums(make_routing: Callable[..., RowRouting]) -> Sums:
    dice = np.random.default_rng(11)
    return sum_by_group(("ab"[row % 2], make_routing(dice)) for row in range(4))


def test_each_table_is_published_and_that_of_experts_returned(place: str, sums: Sums) -> None:
    store = open_store(place)
    experts = write_router_tables(store, sums)
    pd.testing.assert_frame_equal(experts, experts_table(sums).to_pandas())
    for name, table in (
        ("experts", experts_table(sums)),
        ("pairs", pairs_table(sums)),
        ("layers", layers_table(sums)),
    ):
        written = pd.read_parquet(io.BytesIO(store.read(f"router/{name}.parquet")))
        pd.testing.assert_frame_equal(written, table.to_pandas(), check_dtype=False)


def test_the_bytes_depend_on_the_sums_alone(tmp_path: Path, sums: Sums) -> None:
    store = open_store(tmp_path)
    written = []
    for order in (sums, dict(reversed(sums.items()))):
        write_router_tables(store, order)
        written.append([store.read(path) for path in store.list("router")])
    assert written[0] == written[1]
    assert len(written[0]) == 3


def test_where_no_router_is_counted_there_are_no_tables(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    assert write_router_tables(store, {}, counted=False) is None
    assert store.list("router") == []
