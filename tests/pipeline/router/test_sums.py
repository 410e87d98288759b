"""However many groups there are, the sums hold a few hundred, and no count is lost."""

import tracemalloc
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from model.requests.row_routing import RowRouting
from pipeline.router.groups import MOST_GROUPS, OTHER_GROUP
from pipeline.router.sums import Sums, are_merged, merge, merge_into, sum_by_group
from pipeline.router.tables import (
    experts_table,
    from_parquet,
    layers_table,
    pairs_table,
    to_parquet,
)

MakeRouting = Callable[..., RowRouting]


ROWS = st.lists(
    st.tuples(
        st.sampled_from([OTHER_GROUP, "(none)", "", *"abcdefgh"]), st.integers(0, 6), st.integers(0, 4)
    ),
    min_size=1,
    max_size=12,
)


def over_all_groups(table: pa.Table) -> pd.DataFrame:
    frame = table.to_pandas()
    by = [name for name in ("phase", "layer", "expert") if name in frame]
    if "count" in frame:
        by = ["phase", "layer", "first", "second"]
    return frame.drop(columns="group").groupby(by).sum()


@settings(max_examples=30)
@given(shards=st.lists(ROWS, min_size=1, max_size=4), most=st.integers(1, 5))
def test_merged_groups_add_up_to_what_they_were(
    make_routing: MakeRouting, shards: list[list[tuple[str, int, int]]], most: int
) -> None:
    dice = np.random.default_rng(3)
    routed = [[(g, make_routing(dice, p, d, layers=2)) for g, p, d in shard] for shard in shards]
    whole = sum_by_group(row for shard in routed for row in shard)
    limited = merge((from_parquet(to_parquet(sum_by_group(rows, most))) for rows in routed), most)
    assert len(limited.keys() - {OTHER_GROUP}) <= most
    for table in (experts_table, pairs_table, layers_table):
        pd.testing.assert_frame_equal(over_all_groups(table(limited)), over_all_groups(table(whole)))
    experts = experts_table(limited).to_pandas().groupby(["group", "phase", "layer"])
    for rank in ("first", "second"):
        assert (experts[rank].sum() == experts["tokens"].first()).all()


def test_the_largest_keep_their_names_and_ties_go_by_name(make_routing: MakeRouting) -> None:
    dice = np.random.default_rng(0)
    sizes = {"d": 2, "c": 2, "b": 9, "a": 1, "e": 2, OTHER_GROUP: 1}
    rows = [(group, make_routing(dice, size, 0)) for group, size in sizes.items()]
    for sums in (sum_by_group(rows, most=3), merge([sum_by_group(rows)], most=3)):
        tokens = {group: int(counts["tokens"].sum()) for group, counts in sums.items()}
        assert tokens == {"b": 9, "c": 2, "d": 2, OTHER_GROUP: 1 + 2 + 1}


def test_a_group_that_is_called_so_is_one_like_any_other_while_there_is_room(
    make_routing: MakeRouting,
) -> None:
    row = make_routing(np.random.default_rng(0))
    sums = sum_by_group([(OTHER_GROUP, row), ("a", row)], most=1)
    assert sums.keys() == {OTHER_GROUP, "a"}
    assert not are_merged(sums)


def test_a_group_for_every_row_costs_no_more_than_a_few_hundred(make_routing: MakeRouting) -> None:
    row = make_routing(np.random.default_rng(0), layers=32, experts=8)  # an 8x7B's, 54 KB
    tracemalloc.start()
    sums = sum_by_group((f"customer {number}", row) for number in range(5_000))
    stored = to_parquet(sums)
    read = from_parquet(stored)
    tables = experts_table(read), pairs_table(read), layers_table(read)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    lines = (MOST_GROUPS + 1) * 2 * 32
    assert [len(table) for table in tables] == [lines * 8, lines * 8 * 7, lines]
    assert peak < 200e6
    assert len(stored) < 1e6
    assert tables[2].to_pandas()["tokens"].sum() == 5_000 * 8 * 32
    assert are_merged(read)


def test_rows_that_share_no_group_are_added_up_in_the_memory_of_a_few(make_routing: MakeRouting) -> None:
    row = make_routing(np.random.default_rng(0), layers=1)
    total: Sums = {}
    shards = [sum_by_group((f"{shard}/{row_}", row) for row_ in range(300)) for shard in range(20)]
    for shard in shards:
        merge_into(total, shard)
        assert len(total) <= 4 * MOST_GROUPS + 1
    limited = merge(shards)
    assert len(limited) == MOST_GROUPS + 1
    assert sum(int(counts["tokens"].sum()) for counts in limited.values()) == 20 * 300 * 8
    assert are_merged(limited)
