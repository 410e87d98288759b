"""Going on with a job of many shards takes a look at the plan and a list of the parts, and no more."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.durable.commit import part_path, remaining
from pipeline.durable.operations import execute
from pipeline.output.write_report import write_report
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan
from pipeline.router.sums import Sums, merge_into
from pipeline.storage.local_store import LocalStore
from tests.many_shards.folder import fill, make_config


@pytest.fixture
def operations(monkeypatch: pytest.MonkeyPatch) -> "Counter[str]":
    """How often each operation of a store was used."""
    counts: Counter[str] = Counter()

    def counted(name: str, plain: Any) -> Any:
        def operation(self: LocalStore, *given: Any) -> Any:
            counts[name] += 1
            return plain(self, *given)

        return operation

    for name in ("create", "replace", "read", "open_file", "exists", "list"):
        monkeypatch.setattr(LocalStore, name, counted(name, getattr(LocalStore, name)))
    return counts


def test_no_part_is_opened_before_the_first_missing_shard_runs(
    tmp_path: Path, operations: "Counter[str]"
) -> None:
    used = {}
    for shards in (50, 1_000):
        fill(tmp_path / str(shards), shards, missing=3)
        job = check_job(make_config(tmp_path / str(shards)))
        store = LocalStore(job.config.output.path)
        operations.clear()
        plan = load_or_make_plan(job, store, extending=False)
        missing = execute(remaining(plan), store)
        assert [shard.ordinal for shard in missing] == [shards - 3, shards - 2, shards - 1]
        used[shards] = dict(operations)
    assert used[50] == used[1_000]
    assert sum(used[50].values()) < 10


def test_the_end_reads_each_part_once_and_holds_a_few_at_a_time(
    tmp_path: Path, operations: "Counter[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    shards = 300
    fill(tmp_path, shards, missing=0)
    job = check_job(make_config(tmp_path))
    store = LocalStore(job.config.output.path)
    ahead: list[float] = []

    def merge_slowly(total: Sums, part: Sums) -> None:
        time.sleep(0.002)  # the threads that read would run away if they could
        ahead.append(operations["read"] / 2 - len(ahead))  # one read of a part, one of its router table
        merge_into(total, part)

    monkeypatch.setattr("pipeline.output.committed_parts.merge_into", merge_slowly)
    operations.clear()
    report, parts = write_report(job, store, "done", [], 0.0)
    assert operations["read"] + operations["open_file"] < 2 * shards + 20
    assert len(ahead) == shards
    assert max(ahead) < 60
    assert (report.state, report.rows) == ("done", shards)
    assert set(parts[0].sha256) == {part_path(shard) for shard in load_or_make_plan(job, store, False).shards}
