"""What a replica does before its first shard; tests/faults/test_starting.py has processes that die there."""

from types import SimpleNamespace
from typing import Any

import pytest

from pipeline.errors import ConfigError, JobError
from pipeline.supervision import start_limit
from pipeline.supervision.start_limit import starting


class Handle:
    """That of a coordinator, which knows where processes of the replica died."""

    def __init__(self, died_on: list[str]) -> None:
        self.ready_replicas: list[str] = []
        self.start: Any = SimpleNamespace(remote=lambda replica, machine: died_on)
        self.ready: Any = SimpleNamespace(remote=self.ready_replicas.append)


@pytest.fixture(autouse=True)
def _without_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start_limit.ray, "get", lambda answer, timeout: answer)


def test_a_replica_that_has_started_is_ready() -> None:
    handle = Handle(["a", "b", "a"])
    with starting(handle, "replica"):
        assert handle.ready_replicas == []
    assert handle.ready_replicas == ["replica"]


def test_one_death_too_many_fails_the_job_and_names_the_machines() -> None:
    with (
        pytest.raises(JobError, match=r"died 4 times while it loaded .*, on a, b: "),
        starting(Handle(["b", "a", "b", "b"]), "replica"),
    ):
        raise AssertionError("the model is not loaded again")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ConfigError("model: no such file"), "^model: no such file$"),
        (KeyError("canary"), "^KeyError, raised at"),
    ],
)
def test_an_error_of_the_job_is_passed_on_without_words_that_may_quote_a_row(
    error: Exception, told: str
) -> None:
    handle = Handle([])
    with pytest.raises(JobError, match=told), starting(handle, "replica"):
        raise error
    assert handle.ready_replicas == []
