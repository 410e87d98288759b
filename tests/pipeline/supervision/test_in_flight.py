"""Shards that are in flight when a run ends early are given up, so that nobody blames them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from pipeline.durable.attempts import Attempt, Piece, count_attempt, losses, read_attempts
from pipeline.durable.commit import part_path
from pipeline.durable.operations import execute
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store
from pipeline.storage.store import Store
from pipeline.supervision import in_flight
from pipeline.supervision.in_flight import InFlightShards

SHARDS = [Shard(n, f"{n:016x}", "/in", "in", "etag", "jsonl", 8 * n, 8, n, n + 1) for n in range(4)]
PARTS = [part_path(shard) for shard in SHARDS]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Process p has begun all shards. Ray answers without a cluster."""
    monkeypatch.setattr(in_flight.ray, "get", lambda answer, timeout: answer())
    store = open_store(tmp_path)
    for shard in SHARDS:
        execute(count_attempt(shard, Attempt(Piece(0, 8), "p", alone=False, run="r"), 0), store)
    return store


def coordinator(running: set[int], committing: set[int]) -> Any:
    """The handle of one that knows these shards, by number, all with process p."""
    answer = tuple({PARTS[number]: "p" for number in numbers} for numbers in (running, committing))
    return SimpleNamespace(close=SimpleNamespace(remote=lambda seconds: lambda: answer))


def blamed(store: Store) -> list[int]:
    return [shard.ordinal for shard in SHARDS if losses(execute(read_attempts(shard), store))]


def test_a_stop_gives_up_what_runs_and_waits_for_commits(store: Store) -> None:
    committed = {PARTS[2]}
    InFlightShards(coordinator({0}, {2}), SHARDS, committed, store).finish()
    assert blamed(store) == [1, 2, 3], "2 is committed: its markers no longer matter"


def test_a_stop_does_not_wait_for_a_commit_that_never_arrives(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_flight, "SECONDS_TO_COMMIT", 0.5)
    InFlightShards(coordinator({0}, {3}), SHARDS, set(), store).finish()
    assert blamed(store) == [1, 2], "3 was finished and lost, which is not its fault"


def test_a_failure_releases_the_shards_and_is_raised(store: Store) -> None:
    shards = InFlightShards(coordinator({0, 1}, {3}), SHARDS, set(), store)
    with pytest.raises(OSError, match="disk"), shards.release_on_failure():
        raise OSError("disk")
    assert blamed(store) == [2]


def test_where_the_cluster_is_gone_the_failure_itself_is_raised(store: Store) -> None:
    def gone() -> None:
        raise RayActorError

    handle = SimpleNamespace(close=SimpleNamespace(remote=lambda seconds: gone))
    shards = InFlightShards(handle, SHARDS, set(), store)
    shards.finish()
    with pytest.raises(OSError, match="disk"), shards.release_on_failure():
        raise OSError("disk")
    assert blamed(store) == [0, 1, 2, 3]
