"""python -m tests.chaos.own_driver JOB.yaml: `tests.chaos.driver`, whose own Ray is forked, and starts less.

Its autoscaler, dashboard and reader of logs do nothing for a job; their imports cost the machine seconds.
"""

from functools import partial
from pathlib import Path

import typer

from pipeline.supervision.ending import end_with
from tests.chaos import driver


def main(config: Path) -> None:
    start_lean()
    driver.main(config)


def start_lean() -> None:
    from ray._private import ray_constants
    from ray._private.node import Node

    from tests.forkserver.fork_server import LAUNCHER

    ray_constants.SETUP_WORKER_FILENAME = LAUNCHER
    Node.start_monitor = Node.start_log_monitor = Node.start_api_server = lambda self, **options: None


if __name__ == "__main__":
    end_with(partial(typer.run, main))
