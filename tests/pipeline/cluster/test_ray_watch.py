"""A raylet and a GCS that stand still, noticed while all else of Ray goes on."""

import os
import time

import pytest

from pipeline.cluster.ray_watch import RayWatch
from pipeline.errors import JobError
from tests.ray_processes import named, stopped

pytestmark = pytest.mark.usefixtures("local_ray")


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.cluster.ray_watch._LEAST_SECONDS", 0.0)


def test_a_ray_that_answers_is_left_alone() -> None:
    with RayWatch(0.9) as watch:
        for _ in range(20):
            time.sleep(0.1)
            assert watch._silent == {"raylet": 0, "GCS": 0}
            watch.check()


@pytest.mark.parametrize(("process", "name"), [("raylet", "raylet"), ("gcs_server", "GCS")])
def test_one_that_stands_still_is_an_error_after_the_deadline(process: str, name: str) -> None:
    with RayWatch(1.5) as watch, stopped(named(os.getpid(), process)):
        watch.check()
        time.sleep(0.9)
        watch.check()
        time.sleep(2)
        with pytest.raises(
            JobError, match=rf"Ray's {name} gave no answer for 1\.5 s, .* run the same command"
        ):
            watch.check()
