"""Which rows are in the sample of hidden states, its groups, and the lines of its files."""

import io
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.config.output import HiddenStatesSection
from pipeline.preflight.hidden_states import GROUP_BYTES, state_bytes
from pipeline.replicas.hidden_states import HiddenStatesSample, _shards_at_first, group_path
from pipeline.shards.plan import Plan
from pipeline.shards.shard import Shard


def shard(ordinal: int) -> Shard:
    return Shard(ordinal, "s", "f", "f", "e", "jsonl", 0, 9, 0, 9)


def plan(shards: int) -> Plan:
    return Plan([shard(ordinal) for ordinal in range(shards)], ())


def rows(count: int = 9, bad: int | None = None, tokens: int = 2) -> list[dict[str, Any]]:
    return [
        {"file": "f", "row": i, "id": f"r{i}", "prompt_token_ids": None if i == bad else [5 + i] * tokens}
        for i in range(count)
    ]


def sample(wanted: int, shards: int, layers: int = 1, dim: int = 4) -> HiddenStatesSample:
    return HiddenStatesSample(HiddenStatesSection(rows=wanted), range(layers), dim, shards)


def chosen(of: HiddenStatesSample, ordinal: int, *, bad: int | None = None) -> list[int]:
    return [row for group in of.groups(shard(ordinal), rows(200, bad)) for row in group]


@pytest.mark.parametrize(("wanted", "shards"), [(1, 1), (5, 3), (3, 7), (20, 4), (100, 9)])
def test_the_sample_is_spread_evenly_over_all_shards(wanted: int, shards: int) -> None:
    counts = [len(chosen(sample(wanted, shards), ordinal)) for ordinal in range(shards)]
    assert sum(counts) == wanted
    assert max(counts) - min(counts) <= 1


@pytest.mark.parametrize("later", [0, 1, 40])
def test_files_that_come_later_change_no_share(later: int) -> None:
    """A shard has the same sample whether it is run before they came or after."""
    joined = Plan.join([plan(4), plan(later)]) if later else plan(4)
    extended = sample(20, _shards_at_first(joined))
    assert {len(chosen(extended, ordinal)) for ordinal in range(4 + later)} == {5}


def test_a_job_that_began_without_a_row_has_the_share_of_its_first_files() -> None:
    extended = sample(20, _shards_at_first(Plan.join([plan(0), plan(4), plan(6)])))
    assert {len(chosen(extended, ordinal)) for ordinal in range(10)} == {5}
    assert _shards_at_first(plan(0)) == 0


def test_rows_without_a_prompt_are_passed_over() -> None:
    assert chosen(sample(2, 1), 0, bad=0) == [1, 2]


@given(st.lists(st.integers(1, 30_000), min_size=1, max_size=40), st.integers(1, 33))
def test_groups_are_small_and_no_row_is_lost(lengths: list[int], layers: int) -> None:
    given_rows = [row | {"prompt_token_ids": [1] * n} for row, n in zip(rows(40), lengths, strict=False)]
    token = state_bytes(layers, 4096)
    groups = sample(40, 1, layers, 4096).groups(shard(0), given_rows)
    assert [row for group in groups for row in group] == [*range(len(lengths))]
    sizes = [sum(lengths[row] * token for row in group) for group in groups]
    assert all(size <= GROUP_BYTES or len(group) == 1 for size, group in zip(sizes, groups, strict=True))
    assert all(
        size + lengths[after[0]] * token > GROUP_BYTES for size, after in zip(sizes, groups[1:], strict=False)
    )


def test_a_line_for_each_row_layer_and_token() -> None:
    of = HiddenStatesSample(HiddenStatesSection(layers=[0, -1], rows=2), [0, 3], 4, 1)
    states = np.arange(3 * 2 * 4, dtype=np.float32).reshape(3, 2, 4)  # tokens, layers, width
    given_rows = rows(2, tokens=3)
    table = pq.read_table(io.BytesIO(of.file([(given_rows[0], states), (given_rows[1], -states)])))
    assert table.schema.field("state").type == pa.list_(pa.float32(), 4)
    lines = table.to_pylist()
    assert len(lines) == 2 * 2 * 3
    for line in lines:
        sign = -1 if line["id"] == "r1" else 1
        at = sign * states[line["position"], [0, 3].index(line["layer"])]
        assert line["state"] == at.tolist()
        assert (line["id"], line["file"]) == (f"r{line['row']}", "f")
        assert line["token_id"] == 5 + line["row"]
    assert len({(line["id"], line["layer"], line["position"]) for line in lines}) == len(lines)


def test_a_file_is_written_in_row_groups_of_some_megabytes() -> None:
    states = np.zeros((1500, 3, 1024), np.float32)  # 6 MB a layer
    data = sample(1, 1, layers=3, dim=1024).file([(rows(tokens=1500)[0], states)])
    written = pq.ParquetFile(io.BytesIO(data)).metadata
    assert [written.row_group(i).num_rows for i in range(written.num_row_groups)] == [3000, 1500]


def test_files_are_named_like_the_part_of_their_shard() -> None:
    assert group_path(shard(7), 12) == "hidden_states/part-000007-s-0012.parquet"
