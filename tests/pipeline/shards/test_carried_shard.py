import io
import pickle

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.shards.carried_shard import CARRIED, CarriedShard
from pipeline.shards.shard import Shard

columns = st.lists(st.tuples(st.none() | st.text(st.characters(codec="utf-8")), st.lists(st.integers(0, 9))))


def shard(rows: int) -> Shard:
    return Shard(7, "0123456789abcdef", "/in/é.jsonl", "é.jsonl", "etag", "jsonl", 3, rows, 0, 100)


@given(columns, st.none() | st.binary())
def test_what_is_packed_comes_out_again(
    rows: list[tuple[str | None, list[int]]], router_table: bytes | None
) -> None:
    texts, lists = [list(column) for column in zip(*rows, strict=True)] or [[], []]
    table = pa.table({"text": pa.array(texts, pa.string()), "list": pa.array(lists, pa.list_(pa.int32()))})
    block = CarriedShard(shard(len(rows)), table, router_table)
    packed = block.packed()
    assert (len(packed), packed.schema) == (1, CARRIED)
    assert CarriedShard.unpacked(packed) == block


def test_dictionaries_chunks_and_metadata_stay() -> None:
    half = pa.table({"queue": pa.array(["billing", "billing"]).dictionary_encode()})
    table = pa.concat_tables([half, half]).replace_schema_metadata({"key": "value"})
    found = CarriedShard.unpacked(CarriedShard(shard(4), table).packed()).rows
    assert found.equals(table, check_metadata=True)


@pytest.mark.parametrize("around", [[], [0], [0, 1]])
def test_it_may_have_been_a_part_of_something_else(around: list[int]) -> None:
    """Ray Data slices blocks out of others, pickles and concatenates them."""
    blocks = [CarriedShard(shard(1), pa.table({"n": [n]}), b"router").packed() for n in [5, *around]]
    sliced = pa.concat_tables(blocks[::-1]).combine_chunks().slice(len(around), 1)
    found = CarriedShard.unpacked(pickle.loads(pickle.dumps(sliced)))
    assert found.rows.to_pylist() == [{"n": 5}]
    buffer = io.BytesIO()
    pq.write_table(found.rows, buffer)


@pytest.mark.parametrize("count", [0, 2])
def test_no_shards_but_one(count: int) -> None:
    block = CarriedShard(shard(1), pa.table({"n": [1]})).packed()
    with pytest.raises(RuntimeError, match=f"a block of {count} shards came"):
        CarriedShard.unpacked(pa.concat_tables([CARRIED.empty_table(), *[block] * count]))


def test_no_rows_but_the_shards() -> None:
    with pytest.raises(RuntimeError, match="has 3 rows, but 2 came"):
        CarriedShard(shard(3), pa.table({"n": [1, 2]}))
