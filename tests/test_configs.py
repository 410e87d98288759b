"""Every job file in the repository is one that mixtray accepts."""

from pathlib import Path

import pytest

from pipeline.config.job import JobConfig

CONFIGS = Path(__file__).parent.parent / "configs"
JOBS = sorted(CONFIGS.rglob("*.yaml"))


@pytest.mark.parametrize("file", JOBS, ids=lambda file: str(file.relative_to(CONFIGS)))
def test_is_valid(file: Path) -> None:
    JobConfig.load(file)


def test_demo_and_cluster_jobs_are_there() -> None:
    assert {file.parent.name for file in JOBS} >= {"demo", "cluster"}


def test_no_two_jobs_write_to_one_place() -> None:
    paths = [JobConfig.load(file).output.path for file in JOBS]
    assert len(set(paths)) == len(paths)
