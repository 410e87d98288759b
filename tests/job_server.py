"""The job server of a Ray cluster, as `ray job` reaches it from a shell."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.hang import explained
from tests.ray_head import Head, environment

ROOT = Path(__file__).parents[1]
DEMO = Path("configs/demo/job.yaml")  # from the root
SECONDS = 240
NOT_YET = "No available agent to submit job"  # it comes up some seconds after the server


class JobServer:
    def __init__(self, head: Head) -> None:
        self._head = head

    def ray_job(self, call: str, *arguments: str) -> str:
        for _ in range(20):
            with explained():
                done = subprocess.run(
                    ["ray", "job", call, "--address", self._head.dashboard, *arguments],
                    cwd=ROOT,
                    env=environment(self._head.auth),
                    text=True,
                    timeout=SECONDS,
                    capture_output=True,
                    check=False,
                )
            if NOT_YET not in done.stdout + done.stderr:
                break
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def submit(self, job_file: Path, out: Path, *options: str, overrides: Sequence[str] = ()) -> str:
        sets = [part for override in (f"output.path={out}", *overrides) for part in ("--set", override)]
        command = ["python", "-m", "jobs", "run", str(job_file), *sets]
        return self.ray_job("submit", *options, "--working-dir", ".", "--", *command)
