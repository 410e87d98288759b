"""Outputs of a small job: finished, unfinished, and one to be damaged."""

import shutil
from pathlib import Path

import pytest

from pipeline.durable.attempts import Attempt, Piece, count_attempt
from pipeline.durable.operations import execute
from tests import small_output


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a finished job; tests must leave it as it is."""
    place = tmp_path_factory.mktemp("finished")
    small_output.finished(place)
    return place / "out"


@pytest.fixture(scope="session")
def unfinished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a job of which two of three shards are committed, and the third was tried."""
    place = tmp_path_factory.mktemp("unfinished")
    job, store, plan = small_output.begin(small_output.job_data(place))
    small_output.commit(job, store, plan.shards[:2])
    execute(count_attempt(plan.shards[2], Attempt(Piece(0, 4), "here:1", alone=False, run="a run"), 0), store)
    return place / "out"


@pytest.fixture
def out(finished: Path, tmp_path: Path) -> Path:
    """A finished job's output, to be damaged."""
    return Path(shutil.copytree(finished, tmp_path / "out"))
