"""Which rows are in the sample of hidden states, and the lines of its files."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from model.requests.layer_states import LayerStates
from model.requests.request import Completion
from pipeline.config.output import HiddenStatesSection
from pipeline.replicas.hidden_states import HiddenStatesSample
from pipeline.shards.shard import Shard


def shard(ordinal: int) -> Shard:
    return Shard(ordinal, "s", "f", "f", "e", "jsonl", 0, 9, 0, 9)


def rows(count: int = 9, bad: int | None = None) -> list[dict[str, object]]:
    return [
        {"file": "f", "row": i, "id": f"r{i}", "prompt_token_ids": None if i == bad else [1, 5 + i]}
        for i in range(count)
    ]


@pytest.mark.parametrize(("wanted", "shards"), [(1, 1), (5, 3), (3, 7), (20, 4), (100, 9)])
def test_the_sample_is_spread_evenly_over_all_shards(wanted: int, shards: int) -> None:
    sample = HiddenStatesSample(HiddenStatesSection(layers=[-1], rows=wanted), [3], shards)
    counts = [len(sample.requests(shard(ordinal), rows(200))) for ordinal in range(shards)]
    assert sum(counts) == wanted
    assert max(counts) - min(counts) <= 1


def test_rows_without_a_prompt_are_passed_over() -> None:
    sample = HiddenStatesSample(HiddenStatesSection(layers=[-1], rows=2), [3], 1)
    requests = sample.requests(shard(0), rows(bad=0))
    assert [*requests] == [1, 2]
    assert requests[1].prompt_token_ids == [1, 6]
    assert isinstance(requests[1].readout, LayerStates)
    assert requests[1].key not in {"f#1", requests[2].key}


def test_a_line_for_each_row_layer_and_token() -> None:
    sample = HiddenStatesSample(HiddenStatesSection(layers=[0, -1], rows=2), [0, 3], 1)
    states = np.arange(2 * 2 * 4, dtype=np.float32).reshape(2, 2, 4)  # tokens, layers, width
    completions = {0: Completion("a", states, None), 1: Completion("b", None, None, "nan_logits")}
    data = sample.file(rows(), completions)
    assert data is not None
    table = pq.read_table(io.BytesIO(data))
    assert table.schema.field("state").type == pa.list_(pa.float32(), 4)
    for line in table.to_pylist():
        at = states[line["position"], [0, 3].index(line["layer"])]
        assert line["state"] == at.tolist()
        assert (line["id"], line["file"], line["row"]) == ("r0", "f", 0)
        assert line["token_id"] == [1, 5][line["position"]]
    assert len(table) == 4
    assert sample.file(rows(), {1: completions[1]}) is None
