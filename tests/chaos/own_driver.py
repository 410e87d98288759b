"""python -m tests.chaos.own_driver JOB.yaml: `tests.chaos.driver`, whose own Ray is forked, and starts less.

Its autoscaler, dashboard and reader of logs do nothing for a job; their imports cost the machine seconds.
"""

import typer
from ray._private import ray_constants
from ray._private.node import Node

from tests.chaos.driver import main
from tests.forkserver.fork_server import LAUNCHER


def start_lean() -> None:
    ray_constants.SETUP_WORKER_FILENAME = LAUNCHER
    Node.start_monitor = Node.start_log_monitor = Node.start_api_server = lambda self, **options: None


if __name__ == "__main__":
    start_lean()
    typer.run(main)
