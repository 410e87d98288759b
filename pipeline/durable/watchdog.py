"""Kills a replica that makes no progress: a stopped process, or one whose rank or device hangs.

A stopped process can't watch itself, and Ray notices only deaths, so each replica has a small child process
to which it reports every step. The child kills its parent when no report came for `deadline` seconds; the
parent's other ranks die with it, and Ray starts the replica anew.
"""

import os
import select
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


class Watchdog:
    def __init__(self, deadline: float) -> None:
        """Watch this process from now on; `deadline` is in seconds."""
        self._deadline = deadline
        self._start()

    def progressed(self) -> None:
        """Report that the process is alive and gets on."""
        try:
            os.write(self._report, b".")
        except BlockingIOError:
            pass  # the pipe holds reports enough
        except BrokenPipeError:  # somebody killed the child
            self._start()

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-S", str(Path(__file__)), str(os.getpid()), str(self._deadline)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._child.stdin is not None
        self._report = self._child.stdin.fileno()
        os.set_blocking(self._report, False)


def watch(process_id: int, deadline: float) -> None:
    """The child's whole life; the end of its input is its parent's end."""
    reports = sys.stdin.fileno()
    while select.select([reports], [], [], deadline)[0]:
        if not os.read(reports, 1 << 16):
            return
    print(f"no progress for {deadline:g} s: killing replica {process_id}", file=sys.stderr, flush=True)
    with suppress(ProcessLookupError):
        os.kill(process_id, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
