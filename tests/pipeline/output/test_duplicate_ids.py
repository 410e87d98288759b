"""Ids that several rows have are counted over all parts, in as little memory as they must."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.output import duplicate_ids
from pipeline.output.duplicate_ids import count_duplicate_ids
from pipeline.storage.open_store import open_store


def test_the_count_is_that_of_all_rows_however_many_passes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dice = np.random.default_rng(0)
    parts = [[str(number) for number in dice.integers(0, 700, 200)] for _ in range(7)]
    store, paths = open_store(tmp_path), []
    for number, ids in enumerate(parts):
        buffer = io.BytesIO()
        pq.write_table(pa.table({"text": ids, "id": ids}), buffer)
        paths.append(f"generations/part-{number}.parquet")
        store.replace(paths[-1], buffer.getvalue())
    everything = [one for ids in parts for one in ids]
    expected = len(everything) - len(set(everything))
    assert expected > 100
    for at_once in (1 << 25, 500, 37):
        monkeypatch.setattr(duplicate_ids, "AT_ONCE", at_once)
        assert count_duplicate_ids(store, paths, len(everything)) == expected
    assert count_duplicate_ids(store, [], 0) == 0
