"""Who may run beside whom in a replica, and what a shard's steps come to."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.durable.operations import Create
from pipeline.durable.try_shard import Enter, Run, Try
from pipeline.replicas.shard_runner import ShardRunner, Turnstile
from pipeline.row_requests import Outcome
from pipeline.shards.shard import Shard
from pipeline.storage.open_store import open_store

SHARD = Shard(0, "0" * 16, "/in.jsonl", "in.jsonl", "etag", "jsonl", 0, 3, 0, 100)


class Doors:
    """Notes who comes in, and keeps them inside until they are let out."""

    def __init__(self) -> None:
        self.turnstile = Turnstile()
        self.inside: list[str] = []
        self.out: dict[str, asyncio.Event] = {}

    async def come(self, name: str, alone: bool) -> None:
        self.out[name] = asyncio.Event()
        async with self.turnstile.alone() if alone else self.turnstile.beside():
            self.inside.append(name)
            await self.out[name].wait()
            self.inside.remove(name)

    async def settle(self) -> list[str]:
        for _ in range(20):
            await asyncio.sleep(0)
        return sorted(self.inside)


def test_one_that_waits_to_be_alone_goes_before_those_that_come_later() -> None:
    async def scene() -> None:
        doors = Doors()
        visits = [asyncio.create_task(doors.come(name, alone=False)) for name in ("a", "b")]
        assert await doors.settle() == ["a", "b"]
        visits += [
            asyncio.create_task(doors.come("c", alone=True)),
            asyncio.create_task(doors.come("d", alone=False)),
        ]
        assert await doors.settle() == ["a", "b"], "c waits for both, d waits for c"
        doors.out["a"].set()
        assert await doors.settle() == ["b"]
        doors.out["b"].set()
        assert await doors.settle() == ["c"]
        doors.out["c"].set()
        assert await doors.settle() == ["d"]
        doors.out["d"].set()
        await asyncio.gather(*visits)

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_one_that_gave_up_waiting_to_be_alone_bars_nobody() -> None:
    async def scene() -> None:
        doors = Doors()
        first = asyncio.create_task(doors.come("a", alone=False))
        await doors.settle()
        waiting = asyncio.create_task(doors.come("b", alone=True))
        await doors.settle()
        waiting.cancel()
        later = asyncio.create_task(doors.come("c", alone=False))
        assert await doors.settle() == ["a", "c"]
        doors.out["a"].set()
        doors.out["c"].set()
        await asyncio.gather(first, later)

    asyncio.run(asyncio.wait_for(scene(), 20))


def test_the_last_outcome_of_a_row_counts_and_quarantined_rows_are_crashes(tmp_path: Path) -> None:
    def try_shard(shard: Shard, process: str, max_attempts: int) -> Try:
        assert (yield Create("_job/attempts/a", process.encode()))
        yield Enter(alone=True)
        yield Run((0,))
        yield Run((0, 2))
        return {1}

    tried: list[Sequence[str]] = []

    async def run_rows(rows: Sequence[str]) -> list[Outcome]:
        tried.append(rows)
        return [Outcome(values={"text": f"{row}, try {len(tried)}"}) for row in rows]

    store = open_store(tmp_path)
    runner = ShardRunner(store, try_shard, 3, run_rows)
    first, second, third = asyncio.run(runner.run(SHARD, ["a", "b", "c"]))
    assert tried == [["a"], ["a", "c"]]
    assert (first.values["text"], third.values["text"]) == ("a, try 2", "c, try 2")
    assert second.error_code == "WORKER_CRASH"
    assert store.read("_job/attempts/a") == runner.process.encode()


def test_the_protocols_error_ends_the_shard(tmp_path: Path) -> None:
    def try_shard(shard: Shard, process: str, max_attempts: int) -> Try:
        yield Enter(alone=False)
        raise RuntimeError("too many deaths")

    async def run_rows(rows: Sequence[str]) -> list[Outcome]:
        raise AssertionError("no row is run")

    runner = ShardRunner(open_store(tmp_path), try_shard, 3, run_rows)
    with pytest.raises(RuntimeError, match="too many deaths"):
        asyncio.run(runner.run(SHARD, ["a", "b", "c"]))
