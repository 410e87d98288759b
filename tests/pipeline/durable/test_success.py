"""Each plan file of a job gets its `_SUCCESS` once all of its parts are there."""

import json
from pathlib import Path

import pytest

from pipeline.durable.commit import part_path, publish
from pipeline.durable.operations import execute
from pipeline.durable.success import SUCCESS, finalize
from pipeline.errors import DamagedFile, JobError
from pipeline.shards.plan import Plan
from pipeline.storage.store import Store
from tests.pipeline.durable.small_job import SHARDS, THE_PLAN


def test_success_lists_every_part_as_it_is_stored(store: Store) -> None:
    with pytest.raises(JobError, match=r"output\.path lacks 4 shards that"):
        execute(finalize(THE_PLAN, [{}]), store)
    hashes = {}
    for shard in SHARDS:
        published = execute(publish(shard, None, lambda table: b"rows"), store)
        hashes[published.path] = published.sha256
    execute(finalize(THE_PLAN, [{"rows_by_status": {"ok": 40}}], hashes), store)
    written = store.read(SUCCESS)
    success = json.loads(written)
    assert (success["rows"], success["rows_by_status"]) == (40, {"ok": 40})
    assert {part["path"]: part["sha256"] for part in success["parts"]} == hashes
    assert [part["path"] for part in success["parts"]] == [part_path(shard) for shard in SHARDS]
    execute(finalize(THE_PLAN, [{"rows_by_status": {}}]), store)
    assert store.read(SUCCESS) == written


def test_a_part_that_vanishes_while_it_is_hashed_is_named(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = [execute(publish(shard, None, lambda table: b"rows"), store).path for shard in SHARDS]
    monkeypatch.setattr(store, "list", lambda folder, cuts: parts)
    Path(store.root, parts[2]).unlink()
    with pytest.raises(JobError, match=f"lacks 1 shards that were committed, {SHARDS[2].id} for one"):
        execute(finalize(THE_PLAN, [{}]), store)
    assert not store.exists(SUCCESS)


def test_each_plan_file_has_its_own_success(store: Store) -> None:
    """A reader sees by their number whether an extended job is complete, and what its first plan came to."""
    first, second = Plan(SHARDS[:3], ()), Plan(SHARDS[3:], ())
    whole = Plan.join([first, second])
    for shard in SHARDS[:3]:
        execute(publish(shard, None, lambda table: b"rows"), store)
    execute(finalize(first, [{}]), store)
    before = store.read(SUCCESS)
    with pytest.raises(JobError, match=r"output\.path lacks 1 shards that"):
        execute(finalize(whole, [{}, {}]), store)
    assert not store.exists("_SUCCESS-001")
    execute(publish(SHARDS[3], None, lambda table: b"rows"), store)
    execute(finalize(whole, [{}, {}]), store)
    assert store.read(SUCCESS) == before
    assert [part["rows"] for part in json.loads(store.read("_SUCCESS-001"))["parts"]] == [10]


@pytest.mark.parametrize("damage", ["empty", "cut", "of others"])
def test_a_success_that_names_other_parts_is_refused(store: Store, damage: str) -> None:
    for shard in SHARDS:
        execute(publish(shard, None, lambda table: b"rows"), store)
    execute(finalize(THE_PLAN, [{}]), store)
    whole = store.read(SUCCESS)
    other = whole.replace(SHARDS[2].id.encode(), b"f" * 16)
    store.replace(SUCCESS, {"empty": b"", "cut": whole[:-9], "of others": other}[damage])
    with pytest.raises(DamagedFile, match=r"path: _SUCCESS is damaged \(it .*\): remove it and run the same"):
        execute(finalize(THE_PLAN, [{}]), store)
