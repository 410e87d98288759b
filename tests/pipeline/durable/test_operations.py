"""Steps run on a real store as they run in the simulator."""

from pathlib import Path

import pytest

from pipeline.durable.operations import Create, List, Read, Steps, execute, first_wins
from pipeline.storage.store import Store


def test_each_operation_is_answered_and_the_return_value_passed_on(store: Store) -> None:
    def steps() -> Steps[list[object]]:
        answers: list[object] = [(yield Read("a/1"))]
        answers += [(yield Create("a/1", b"one")), (yield Create("a/1", b"two"))]
        answers += [(yield Read("a/1")), (yield List("a")), (yield List("b"))]
        return answers

    assert execute(steps(), store) == [None, True, False, b"one", ["a/1"], []]


def test_a_failure_of_the_store_ends_the_steps(store: Store) -> None:
    Path(store.root).mkdir()
    Path(store.root, "folder").mkdir()

    def steps() -> Steps[None]:
        yield Read("folder")
        yield Create("after", b"")

    with pytest.raises(IsADirectoryError):
        execute(steps(), store)
    assert not store.exists("after")


def test_who_is_second_to_write_gets_what_the_first_wrote(store: Store) -> None:
    assert execute(first_wins("plan", b"first"), store) == b"first"
    assert execute(first_wins("plan", b"second"), store) == b"first"
