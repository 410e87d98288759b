"""A measurement in a fresh process: load time and peak memory are its own, and all runs start the same."""

import json
import os
import subprocess
import sys
from typing import Any


def call(module: str, argument: dict[str, Any], threads: int) -> dict[str, Any]:
    """Run `python -m module` with `argument` as JSON; return the last line that it prints, which is JSON too.

    RuntimeError, with the last words of the process, if it fails.
    """
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", module, json.dumps(argument)], env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{module} {argument}: {done.stderr.strip()[-2000:]}")
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result
