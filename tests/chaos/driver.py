"""python -m tests.chaos.driver JOB.yaml: `python -m jobs run` with the fake replica in the model's place."""

from functools import partial
from pathlib import Path

import typer

from jobs.arguments import exit_codes
from pipeline.supervision.ending import end_with


def main(config: Path) -> None:
    with exit_codes():
        from pipeline.config.job import JobConfig
        from pipeline.run import run
        from tests.chaos.replica import FakeReplica

        run(JobConfig.load(config), FakeReplica)


if __name__ == "__main__":
    end_with(partial(typer.run, main))
