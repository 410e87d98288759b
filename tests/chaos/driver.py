"""python -m tests.chaos.driver JOB.yaml: `python -m jobs run` with the fake replica in the model's place."""

from pathlib import Path

import typer

from jobs.arguments import exit_codes
from pipeline import run
from pipeline.config import JobConfig
from tests.chaos.replica import FakeReplica


def main(config: Path) -> None:
    with exit_codes():
        run._SHARDS_OF_A_DATASET = 20  # so that kills come between two datasets of a job, too
        run.run(JobConfig.load(config), FakeReplica)


if __name__ == "__main__":
    typer.run(main)
