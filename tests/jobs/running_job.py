"""`python -m jobs run` in a process of its own."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.hang import explained

ROOT = Path(__file__).parents[2]


class RunningJob:
    def __init__(self, job_file: Path, *overrides: str, environment: Mapping[str, str] | None = None) -> None:
        """Starts it; overrides are written like "engine.replicas=2". It has a Ray of its own by default."""
        sets = [part for override in overrides for part in ("--set", override)]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jobs", "run", str(job_file), *sets],
            cwd=ROOT,
            env=os.environ | {"RAY_ADDRESS": "local"} | dict(environment or {}),
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def wait_for(self, condition: Callable[[], bool], seconds: float = 120) -> None:
        """Until `condition` holds; the job must go on meanwhile."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def end(self, exit_code: int = 0) -> tuple[str, str]:
        """Wait for the end; what it wrote to stdout and stderr."""
        with explained():
            output, errors = self.process.communicate(timeout=200)
        assert self.process.returncode == exit_code, errors
        return output, errors
