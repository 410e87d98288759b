"""What stands beside the rows is the sum of the committed parts, and of nothing else."""

import hashlib
import multiprocessing
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from model.requests.row_routing import RowRouting
from pipeline.durable.job_spec import SPEC, spec_bytes
from pipeline.errors import DamagedFile
from pipeline.output.committed_parts import read_parts
from pipeline.output.part_file import read_footer
from pipeline.output.publish import Publishing
from pipeline.router.sums import sum_by_group
from pipeline.router.tables import (
    to_parquet,
)
from pipeline.shards.carried_shard import CarriedShard
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store
from pipeline.tasks.generate import Generate, GenerationSection

MakeRouting = Callable[..., RowRouting]
Routed = list[tuple[str, RowRouting]]
JOB = {"config": {"job": "finished"}, "format_version": 1, "checkpoint": "", "tokenizer": ""}


def publish(store: Store, ordinal: int, routed: Routed | None, rows: int = 4) -> str:
    """A part of `rows` rows that were routed so; returns its path."""
    shard = Shard(ordinal, f"{ordinal:016x}", "/in", "in", "etag", "jsonl", 0, rows, 0, 1)
    empty = pa.nulls(rows, pa.string())
    table = pa.table(
        {
            "status": ["ok"] * rows,
            "error_code": empty,
            "label": empty,
            "prompt_tokens": pa.array([ordinal + 1] * rows, pa.int32()),
            "generated_tokens": pa.array([0] * rows, pa.int32()),
        }
    )
    sums = to_parquet(sum_by_group(routed)) if routed is not None else None
    block = CarriedShard(shard, table, sums).packed()
    store.create(SPEC, spec_bytes(JOB))
    path: str = Publishing(store, Generate(GenerationSection()), JOB)(block)["path"][0].as_py()
    return path


@pytest.fixture
def shards(make_routing: MakeRouting) -> list[Routed]:
    dice = np.random.default_rng(11)
    return [[("ab"[i % 2], make_routing(dice)) for i in range(4)] for _ in range(3)]


def test_the_sums_are_over_all_parts_in_any_order(place: str, shards: list[Routed]) -> None:
    store = open_store(place)
    paths = [publish(store, ordinal, routed) for ordinal, routed in enumerate(shards)]
    parts = read_parts(store, paths[::-1], hashed=True)
    assert parts.summary.prompt_tokens == 12 + 8 + 4
    assert parts.sha256 == {path: hashlib.sha256(store.read(path)).hexdigest() for path in paths}
    whole = sum_by_group(row for routed in shards for row in routed)
    assert parts.router.keys() == whole.keys() == {"a", "b"}
    for group, counts in whole.items():
        for name, values in counts.items():
            np.testing.assert_array_equal(parts.router[group][name], values)


def test_tables_that_no_part_names_do_not_count(tmp_path: Path, shards: list[Routed]) -> None:
    store = open_store(tmp_path)
    path = publish(store, 0, shards[0])
    assert publish(store, 0, shards[1]) == path  # an attempt that came too late
    assert len(store.list("_job/router")) == 2
    sums = read_parts(store, [path], hashed=False).router
    np.testing.assert_array_equal(sums["a"]["chosen"], sum_by_group(shards[0])["a"]["chosen"])


def test_only_the_parts_that_are_asked_for_count(tmp_path: Path, shards: list[Routed]) -> None:
    store = open_store(tmp_path)
    paths = [publish(store, ordinal, routed) for ordinal, routed in enumerate(shards)]
    parts = read_parts(store, paths[1:2], hashed=False)
    assert parts.summary.rows == 4
    np.testing.assert_array_equal(parts.router["b"]["pairs"], sum_by_group(shards[1])["b"]["pairs"])


def test_a_part_whose_hash_is_known_is_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path)
    paths = [publish(store, ordinal, None) for ordinal in range(3)]
    hashes = {path: hashlib.sha256(store.read(path)).hexdigest() for path in paths}
    known = {paths[0]: hashes[paths[0]], paths[1]: None}  # another attempt was the first to commit the latter
    read: list[str] = []
    plain = store.read
    monkeypatch.setattr(store, "read", lambda path: read.append(path) or plain(path))
    assert read_parts(store, paths, hashed=True, known=known).sha256 == hashes
    assert sorted(read) == paths[1:]


def test_a_changed_router_file_is_refused(tmp_path: Path, shards: list[Routed]) -> None:
    store = open_store(tmp_path)
    path = publish(store, 0, shards[0])
    with store.open_file(path) as part:
        _, table = read_footer(path, part)
    assert table is not None
    store.replace(table.path, to_parquet(sum_by_group(shards[1])))
    told = rf"{table.path} is damaged \(its bytes are not those with which {path} was committed\): remove it"
    with pytest.raises(DamagedFile, match=told):
        read_parts(store, [path], hashed=False)
    Path(store.root, table.path).unlink()
    with pytest.raises(DamagedFile, match=rf"{table.path} is damaged \(it is missing, and {path} names it\)"):
        read_parts(store, [path], hashed=False)


@pytest.mark.parametrize("hashed", [True, False])
def test_a_part_that_is_none_is_named_with_what_to_do(tmp_path: Path, hashed: bool) -> None:
    store = open_store(tmp_path)
    paths = [publish(store, ordinal, None) for ordinal in range(2)]
    whole = store.read(paths[0])
    for data in (b"", whole[:-3], b"hello", store.read(paths[1])):
        store.replace(paths[0], data)
        told = rf"output\.path: {paths[0]} is damaged \(.*\): remove it, and the _SUCCESS that names it"
        with pytest.raises(DamagedFile, match=told):
            read_parts(store, paths, hashed=hashed)


def test_a_flipped_bit_is_not_hashed_for_success(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    path = publish(store, 0, None)
    data = bytearray(store.read(path))
    data[20] ^= 1
    store.replace(path, bytes(data))
    with pytest.raises(DamagedFile, match="its bytes are not those that were written"):
        read_parts(store, [path], hashed=True)


def test_parts_without_router_tables_add_nothing_to_the_sums(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    parts = read_parts(store, [publish(store, 0, None), publish(store, 1, [])], hashed=False)
    assert (parts.summary.rows, parts.sha256) == (8, {})
    assert parts.router == {}
    assert read_parts(store, [], hashed=True).summary.rows == 0


def test_a_read_that_hangs_holds_nothing_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, answered = open_store(tmp_path), threading.Event()
    path = publish(store, 0, None)
    before = set(threading.enumerate())
    with monkeypatch.context() as inside:
        inside.setattr(type(store), "open_file", lambda *given: answered.wait())
        began = time.monotonic()
        with pytest.raises(multiprocessing.TimeoutError):
            read_parts(store, [path], hashed=False, deadline=began + 0.1)
        assert time.monotonic() - began < 10
        hanging = set(threading.enumerate()) - before
        assert hanging
        assert all(thread.daemon for thread in hanging), "the process may end"
        answered.set()
