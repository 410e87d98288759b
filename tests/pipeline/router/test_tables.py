"""Sums of router statistics: nothing is lost or doubled between rows, shards and published tables."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model.requests.row_routing import RowRouting
from pipeline.router.sums import Sums, merge, sum_by_group
from pipeline.router.tables import (
    experts_table,
    from_parquet,
    layers_table,
    pairs_table,
    to_parquet,
)

MakeRouting = Callable[..., RowRouting]
KEY = ["group", "phase", "layer"]
PER_ROW = st.tuples(
    st.sampled_from(["de", "en", "", "a\tß\n"]), st.integers(0, 6), st.integers(0, 4), st.integers(0, 9)
)


def same(one: Sums, other: Sums) -> bool:
    return one.keys() == other.keys() and all(
        one[group].keys() == other[group].keys()
        and all(np.array_equal(one[group][name], other[group][name]) for name in one[group])
        for group in one
    )


def some_rows(make_routing: MakeRouting, chosen: int, experts: int = 4) -> list[tuple[str, RowRouting]]:
    dice = np.random.default_rng(5)
    sizes = [(5, 3), (1, 0), (7, 2), (4, 4), (2, 1)]
    return [
        ("ab"[i % 2], make_routing(dice, prefill, decode, chosen=chosen, experts=experts))
        for i, (prefill, decode) in enumerate(sizes)
    ]


@settings(deadline=None, max_examples=40)
@given(rows=st.lists(PER_ROW, max_size=12), cuts=st.lists(st.integers(0, 12), max_size=3))
def test_rows_add_up_to_the_sum_of_their_rows(
    make_routing: MakeRouting, rows: list[tuple[str, int, int, int]], cuts: list[int]
) -> None:
    routed = [(g, make_routing(np.random.default_rng(seed), p, d)) for g, p, d, seed in rows]
    borders = [0, *sorted(min(cut, len(routed)) for cut in cuts), len(routed)]
    shards = [sum_by_group(routed[a:b]) for a, b in pairwise(borders)]
    whole = sum_by_group(routed)
    assert same(merge(shards), whole)
    assert same(merge(shards[::-1]), whole)
    assert same(merge(from_parquet(to_parquet(shard)) for shard in shards), whole)


def test_adding_changes_no_row(make_routing: MakeRouting) -> None:
    row = make_routing(np.random.default_rng(0))
    before = row.chosen.copy()
    shard = sum_by_group([("a", row), ("a", row)])
    total = merge([shard, shard])
    np.testing.assert_array_equal(row.chosen, before)
    np.testing.assert_array_equal(shard["a"]["chosen"], 2 * before)
    np.testing.assert_array_equal(total["a"]["chosen"], 4 * before)


@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_a_file_holds_the_sums_exactly(make_routing: MakeRouting, chosen: int) -> None:
    sums = sum_by_group(some_rows(make_routing, chosen))
    sums["a"]["gate_q"] += 1 << 61
    assert same(from_parquet(to_parquet(sums)), sums)


def test_no_row_gives_an_empty_file() -> None:
    assert from_parquet(to_parquet({})) == {}


@pytest.mark.parametrize("chosen", [1, 2, 3])
def test_tables_add_up(make_routing: MakeRouting, chosen: int) -> None:
    rows = some_rows(make_routing, chosen)
    sums = sum_by_group(rows)
    experts, pairs, layers = (
        table(sums).to_pandas().set_index(KEY) for table in (experts_table, pairs_table, layers_table)
    )
    tokens = layers["tokens"]
    for (group, phase, _), count in tokens.items():
        place = ["prefill", "decode"].index(phase)
        assert count == sum(routing.tokens[place] for name, routing in rows if name == group)
    by_layer = experts.groupby(KEY)
    assert (by_layer["first"].sum() == tokens.sort_index()).all()
    assert (by_layer["second"].sum() == (tokens.sort_index() if chosen > 1 else 0)).all()
    assert (by_layer["selected"].sum() == chosen * tokens.sort_index()).all()
    assert (pairs.groupby(KEY)["count"].sum() == (tokens.sort_index() if chosen > 1 else 0)).all()
    assert (experts["tokens"] == tokens.reindex(experts.index)).all()
    assert (layers["repeat_first"] <= layers["repeat_any"]).all()
    assert (layers["repeat_any"] <= layers["next_pairs"]).all()


def test_tables_keep_each_number_in_its_place(make_routing: MakeRouting) -> None:
    row = make_routing(np.random.default_rng(1), chosen=3, experts=5)
    sums = sum_by_group([("g", row)])
    experts = experts_table(sums).to_pandas()
    line = experts.query("phase == 'decode' and layer == 2 and expert == 4").iloc[0]
    assert line["first"] == row.chosen[1, 2, 0, 4]
    assert line["second"] == row.chosen[1, 2, 1, 4]
    assert line["selected"] == row.chosen[1, 2, :, 4].sum()
    assert line["gate_first_q"] == row.gate_q[1, 2, 0, 4]
    assert line["gate_second_q"] == row.gate_q[1, 2, 1, 4]
    assert line["prob_q"] == row.prob_q[1, 2, 4]
    pairs = pairs_table(sums).to_pandas()
    for pair in pairs.query("phase == 'prefill' and layer == 1").itertuples():
        assert pair.count == row.pairs[0, 1, pair.first, pair.second]
    layer = layers_table(sums).to_pandas().query("phase == 'prefill' and layer == 1").iloc[0]
    assert layer["entropy_q"] == row.entropy_q[0, 1]
    assert layer["tokens_computed"] == row.computed[0]


def test_the_pairs_margins_are_the_experts_choices(make_routing: MakeRouting) -> None:
    sums = sum_by_group(some_rows(make_routing, chosen=2))
    pairs, experts = pairs_table(sums).to_pandas(), experts_table(sums).to_pandas()
    for rank in ("first", "second"):
        margin = pairs.groupby([*KEY, rank])["count"].sum()
        choices = experts.set_index([*KEY, "expert"])[rank].sort_index()
        np.testing.assert_array_equal(margin.sort_index().to_numpy(), choices.to_numpy())


def test_tables_have_one_order_and_whole_numbers(make_routing: MakeRouting) -> None:
    rows = some_rows(make_routing, chosen=2)
    table = experts_table(sum_by_group(rows))
    assert table.equals(experts_table(sum_by_group(rows[::-1])))
    assert {str(field.type) for field in table.schema if field.name not in KEY} == {"int64"}
    assert list(pd.unique(table["group"].to_pandas())) == ["a", "b"]
