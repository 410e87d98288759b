"""Input files of tests, and what is read of them."""

import bz2
import gzip
import json
import lzma
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.config.job import InputSection
from pipeline.shards.make_plan import make_plan
from pipeline.shards.plan import Plan
from pipeline.shards.read_shard import read_shard


def section(path: Any, **keys: Any) -> InputSection:
    return InputSection.model_validate({"path": path, "prompt": {"column": "text"}, **keys})


def lines(count: int, **extra: Any) -> bytes:
    return b"".join(json.dumps({"text": f"row {n}", **extra}).encode() + b"\n" for n in range(count))


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def write_parquet(path: Path, rows: int, group: int, **columns: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": [f"row {n}" for n in range(rows)], **columns})
    pq.write_table(table, path, row_group_size=group)
    return path


def names(plan: Plan) -> list[str]:
    return [file.name for file in plan.files]


def read_all(path: str, columns: list[str] | None = None, **keys: Any) -> list[dict[str, Any]]:
    """Every row of every shard, checked to be numbered without gaps."""
    rows: list[dict[str, Any]] = []
    for shard in make_plan(section(path, **keys)).shards:
        table = read_shard(shard, columns or ["text"])
        assert len(table) == shard.rows
        assert table["row"].to_pylist() == list(range(shard.first_row, shard.first_row + shard.rows))
        rows += table.to_pylist()
    return rows


def compress(data: bytes, kind: str) -> bytes:
    own = {".gz": gzip.compress, ".bz2": partial(bz2.compress, compresslevel=1), ".xz": lzma.compress}
    if kind in own:
        return own[kind](data)
    return bytes(pa.compress(data, codec="zstd", asbytes=True)) if kind == ".zst" else data
