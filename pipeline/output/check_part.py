"""Whether a part and its router table are what was committed, byte for byte and row for row."""

import io
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow.compute as pc

from pipeline.durable.damage import naming_damage, naming_unreadable
from pipeline.output.committed_parts import router_table
from pipeline.output.part_file import read_footer
from pipeline.reporting.summary import ShardSummary
from pipeline.shards.shard import Shard
from pipeline.storage.sealed_parquet import read_table, whole_sha256
from pipeline.storage.store import Store


@dataclass(frozen=True)
class CheckedPart:
    size: int  # bytes, with the router table's
    sha256: str
    summary: ShardSummary
    router: bytes | None  # None if the part names no table


def check_part(store: Store, path: str, shard: Shard | None) -> CheckedPart:
    """DamagedFile if the part at this path, or its router table, is not what was committed.

    `shard` is the one that the plan has for the path; None if the plan can't be read.
    """
    data = read_or_damaged(store, path)
    with naming_damage(path):
        sha256 = whole_sha256(data)
        summary, table = read_footer(path, io.BytesIO(data))
        if shard is not None:
            _require_rows(data, shard)
    router = router_table(partial(read_or_damaged, store), path, table) if table else None
    return CheckedPart(len(data) + len(router or b""), sha256, summary, router)


def read_or_damaged(store: Store, path: str) -> bytes:
    """The bytes of a file; DamagedFile if it is not there, may not be read, or its disk does not give it."""
    with naming_unreadable(path):
        return store.read(path)


def _require_rows(data: bytes, shard: Shard) -> None:
    """ValueError, with a sentence, if these are not the rows of the shard, each at its place."""
    rows = read_table(io.BytesIO(data), columns=["file", "row"])
    if len(rows) != shard.rows:
        raise ValueError(f"it has {len(rows)} rows where {shard.rows} are planned")
    planned = np.arange(shard.first_row, shard.first_row + shard.rows)
    if not (
        pc.all(pc.equal(rows["file"], shard.name)).as_py() and np.array_equal(rows["row"].to_numpy(), planned)
    ):
        raise ValueError(
            f"its rows are not {shard.first_row} to {shard.first_row + shard.rows - 1} of {shard.name}"
        )
