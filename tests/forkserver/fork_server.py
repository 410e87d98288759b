"""Starts the fork server of `tests.forkserver` and ends it."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from tests.forkserver.launcher import SOCKET_VARIABLE

ROOT = Path(__file__).parents[2]
LAUNCHER = str(Path(__file__).with_name("launcher.py"))  # replaces Ray's SETUP_WORKER_FILENAME
FORKING = "tests.forkserver.forking"
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",  # a process with threads can't be forked
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONPATH": str(ROOT),
}


class ForkServer:
    def __init__(self, socket: Path, auth: Mapping[str, str]) -> None:
        """`auth` has variables that Ray's import reads; raylets must be started with `environment`."""
        self.environment: Mapping[str, str] = {**ENVIRONMENT, **auth, SOCKET_VARIABLE: str(socket)}
        command = [sys.executable, "-m", "tests.forkserver", str(socket)]
        self._process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | self.environment, stdout=subprocess.DEVNULL
        )
        self.pid = self._process.pid
        while not socket.exists():
            assert self._process.poll() is None, "the fork server ended"
            time.sleep(0.05)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def __enter__(self) -> "ForkServer":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
