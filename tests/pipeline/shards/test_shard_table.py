"""A table of shards is a sequence like any other, however they came into it."""

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from pipeline.shards.shard import Shard
from pipeline.shards.shard_table import ShardTable

names = st.sampled_from(["a.jsonl", "b.parquet", "é/c.jsonl"])
numbers = st.integers(0, 2**62)
many_shards = st.lists(
    st.builds(
        Shard,
        ordinal=numbers, id=st.text("0123456789abcdef", min_size=16, max_size=16), file=names, name=names,
        etag=names, format=st.sampled_from(["jsonl", "parquet"]), first_row=numbers, rows=numbers,
        start=numbers, end=numbers, skip=numbers, broken=st.booleans(), kept=st.sampled_from(["", "int64"]),
    ),
    max_size=12,
)  # fmt: skip


@given(many_shards, many_shards, st.slices(24))
def test_it_is_a_sequence_of_its_shards(first: list[Shard], second: list[Shard], part: slice) -> None:
    plain = first + second
    table = ShardTable.join([ShardTable.of(first), ShardTable.of(iter(second))])
    assert list(table) == plain
    assert table == plain
    assert len(table) == len(plain)
    assert [table[place] for place in range(-len(plain), len(plain))] == plain + plain
    assert_same(table[part], plain[part])
    assert_same(table[part][::-1], plain[part][::-1])


def assert_same(table: Sequence[Shard], plain: Sequence[Shard]) -> None:
    assert isinstance(table, ShardTable)
    assert list(table) == plain


@given(many_shards)
def test_its_files_are_opened_where_they_are_today(shards: list[Shard]) -> None:
    moved = ShardTable.of(shards).opened_at({shard.name: f"/moved/{shard.name}" for shard in shards})
    assert moved == [replace(shard, file=f"/moved/{shard.name}") for shard in shards]


def test_tables_of_other_shards_differ() -> None:
    shards = [Shard(n, f"{n:016x}", "a", "a", "tag", "jsonl", n, 1, n, n + 1) for n in range(3)]
    assert ShardTable.of(shards) != shards[:2]
    assert ShardTable.of(shards) != shards[::-1]
    assert ShardTable.of(shards) != 3


def test_their_rows_add_up() -> None:
    table = ShardTable.of(Shard(n, f"{n:016x}", "a", "a", "tag", "jsonl", n, n, n, n + 1) for n in range(4))
    assert table.rows == 6
    assert table[:0].rows == ShardTable.of([]).rows == 0
