"""Kills a process that makes no progress: one that is stopped, or whose rank or device hangs.

A stopped process can't watch itself, and Ray notices only deaths. So each replica, the coordinator, and each
worker that runs Ray tasks has a small child process to which it reports. The child kills its parent when no
report came for `deadline` seconds. When the parent has ended, for whatever reason, the child kills the
processes of the parent's other ranks. Ray then restarts the actor, or gives the Ray task to another worker.
"""

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from math import inf
from pathlib import Path

_BEATS = 4  # reports within the deadline while a process loads
_MOST_SECONDS_OF_BEATS = 3600.0


class Watchdog:
    def __init__(self, deadline: float) -> None:
        """Watch this process from now on; `deadline` is in seconds."""
        self._deadline = deadline
        self._others: list[int] = []
        self._lock = threading.Lock()
        self._start()

    def also_kill(self, process_ids: Iterable[int]) -> None:
        """Kill these processes when this one has ended: a stopped process would not notice its end."""
        self._others += process_ids
        self._send(_named(self._others))

    def progressed(self) -> None:
        """Report that the process makes progress."""
        self._send(b".")

    def stop(self) -> None:
        """End the watch; the processes of `also_kill` are killed."""
        with self._lock:
            assert self._child.stdin is not None
            self._child.stdin.close()
            self._child.wait()

    @contextmanager
    def beating(self) -> Iterator[None]:
        """Have a thread report for a block that has no steps of its own; for an hour at most."""
        done = threading.Event()
        beats = self._start_beats(done, last=time.monotonic() + _MOST_SECONDS_OF_BEATS)
        try:
            yield
        finally:
            done.set()
            beats.join()
            self.progressed()

    def beat(self) -> None:
        """Have a thread report from now on, whatever the process does: only a stopped one is killed."""
        self._start_beats(done=threading.Event(), last=inf)

    def _start_beats(self, done: threading.Event, last: float) -> threading.Thread:
        def beat() -> None:
            while not done.wait(self._deadline / _BEATS) and time.monotonic() < last:
                self.progressed()

        beats = threading.Thread(target=beat, name="beating", daemon=True)
        beats.start()
        return beats

    def _send(self, report: bytes) -> None:
        with self._lock:
            try:
                os.write(self._report, report)
            except BlockingIOError:
                pass  # the pipe is full of unread reports, and each says the same
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
        os.write(self._report, _named(self._others))
        os.set_blocking(self._report, False)


def _named(process_ids: Iterable[int]) -> bytes:
    return b"".join(b"%d " % process_id for process_id in process_ids)


def watch(process_id: int, deadline: float) -> None:
    """What the child does until its parent has ended, which closes the child's input.

    A report is a dot, or the ids of processes to be killed at the end.
    """
    reports = sys.stdin.fileno()
    others: dict[int, int] = {}  # id -> pidfd, since an id may belong to a new process by then
    while select.select([reports], [], [], deadline)[0]:
        report = os.read(reports, 1 << 16)
        if not report:
            break
        for other in map(int, report.replace(b".", b" ").split()):
            with suppress(OSError):  # the process has ended, or the kernel has no pidfds
                others[other] = others.get(other) or os.pidfd_open(other)
    else:
        print(f"no progress for {deadline:g} s: killing process {process_id}", file=sys.stderr, flush=True)
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    for handle in others.values():
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(handle, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
