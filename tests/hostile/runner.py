"""Runs cases, each in a process of its own with limits on memory and time: `python -m tests.hostile.runner`.

Imports once and forks, so that a case costs milliseconds. Reads names from standard input, one a line, and
answers each with one JSON object: how the process ended, and the outcome if it lived to tell it.
"""

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

from tests.hostile.case import run_case
from tests.hostile.corpus import CASES

SECONDS = 30
SPARE = 3 << 30  # bytes of address space over what the imports took


def run_apart(name: str, folder: Path) -> dict[str, Any]:
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as result:
        pid = os.fork()
        if pid == 0:
            _run_in_child(name, folder, result)
        status = os.waitpid(pid, 0)[1]
        result.seek(0)
        said = result.read()
    seconds = round(time.monotonic() - started, 2)
    if os.WIFSIGNALED(status) or not said:
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no word"
        return {"crash": f"the process ended with {ended} after {seconds} s"}
    return {"seconds": seconds, **json.loads(said)}


def _run_in_child(name: str, folder: Path, result: TextIO) -> NoReturn:
    try:
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, used + SPARE))
        signal.alarm(SECONDS)
        try:
            outcome = run_case(CASES[name], folder)
        except Exception:
            outcome = {"crash": traceback.format_exc()}
        result.write(json.dumps(outcome))
        result.flush()
    finally:
        os._exit(0)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for number, name in enumerate(sys.stdin):
            print(json.dumps(run_apart(name.strip(), Path(folder) / str(number))), flush=True)


if __name__ == "__main__":
    main()
