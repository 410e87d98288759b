"""What the coordinator answers, and what it knows of replicas that died."""

import asyncio

from pipeline.supervision.coordinator import Coordinator


def test_a_closed_coordinator_lets_nothing_begin_or_commit_and_waits_for_what_runs() -> None:
    async def story() -> None:
        coordinator = Coordinator()
        assert [await coordinator.begin(part, "process", "replica") for part in "abc"] == [True] * 3
        assert await coordinator.commit("a", "process")
        closing = asyncio.create_task(coordinator.close(seconds=60))
        await coordinator.closed()
        assert not await coordinator.begin("d", "process", "replica")
        assert not await coordinator.commit("b", "process")
        assert not closing.done()
        await coordinator.give_up("b", "process")
        await coordinator.give_up("c", "process")
        assert await closing == ({}, {"a": "process"})

    asyncio.run(asyncio.wait_for(story(), 10))


def test_a_coordinator_knows_where_a_replica_died_before_it_was_ready() -> None:
    async def story() -> None:
        coordinator = Coordinator()
        assert await coordinator.start("replica", "a") == []
        assert await coordinator.start("another", "b") == []
        assert await coordinator.start("replica", "b") == ["a"]
        assert await coordinator.start("replica", "a") == ["a", "b"]
        await coordinator.ready("replica")
        assert await coordinator.start("replica", "a") == []

    asyncio.run(asyncio.wait_for(story(), 10))


def test_a_coordinator_does_not_wait_for_ever_for_a_replica_that_died() -> None:
    async def story() -> None:
        coordinator = Coordinator()
        await coordinator.begin("a", "process", "replica")
        assert await coordinator.close(seconds=0.01) == ({"a": "process"}, {})

    asyncio.run(asyncio.wait_for(story(), 10))


def test_a_coordinator_forgets_what_a_replica_that_died_was_running() -> None:
    async def story() -> None:
        coordinator = Coordinator()
        for part, process, replica in ("a", "first", "1"), ("b", "first", "1"), ("c", "other", "2"):
            await coordinator.begin(part, process, replica)
        await coordinator.commit("b", "first")
        await coordinator.start("1", "machine")
        assert await coordinator.begin("b", "second", "1"), "the commit was lost with its process"
        await coordinator.give_up("b", "first")
        assert await coordinator.close(seconds=0.01) == ({"b": "second", "c": "other"}, {})

    asyncio.run(asyncio.wait_for(story(), 10))
