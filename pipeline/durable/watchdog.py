"""Kills a replica that makes no progress: a stopped process, or one whose rank or device hangs.

A stopped process can't watch itself, and Ray notices only deaths, so each replica has a small child process
to which it reports every step. The child kills its parent when no report came for `deadline` seconds, and
the processes that it was told to take along at its parent's end, whatever that was; Ray starts the replica
anew.
"""

import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_BEATS = 4  # reports within the deadline while `alive` reports


class Watchdog:
    def __init__(self, deadline: float) -> None:
        """Watch this process from now on; `deadline` is in seconds."""
        self._deadline = deadline
        self._charges: list[int] = []
        self._start()

    def take_along(self, process_ids: Iterable[int]) -> None:
        """Kill these processes too when this one has ended: a stopped one would not notice."""
        self._charges += process_ids
        self._name_charges()

    @contextmanager
    def alive(self) -> Iterator[None]:
        """Report by itself that the process is alive, for a block in which it makes no steps."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(self._deadline / _BEATS):
                self.progressed()

        beats = threading.Thread(target=beat, name="alive", daemon=True)
        beats.start()
        try:
            yield
        finally:
            done.set()
            beats.join()
            self.progressed()

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
        self._name_charges()

    def _name_charges(self) -> None:
        with suppress(BrokenPipeError):  # the next report starts another child, which is told then
            os.write(self._report, b"".join(b"%d " % charge for charge in self._charges))


def watch(process_id: int, deadline: float) -> None:
    """The child's whole life; the end of its input is its parent's end. A report is a dot or process ids."""
    reports = sys.stdin.fileno()
    charges: dict[int, int] = {}  # their ids could be others' by the time that they are killed
    while select.select([reports], [], [], deadline)[0]:
        said = os.read(reports, 1 << 16)
        if not said:
            break
        for charge in map(int, said.replace(b".", b" ").split()):
            with suppress(ProcessLookupError):
                charges[charge] = charges.get(charge) or os.pidfd_open(charge)
    else:
        print(f"no progress for {deadline:g} s: killing replica {process_id}", file=sys.stderr, flush=True)
        with suppress(ProcessLookupError):
            os.kill(process_id, signal.SIGKILL)
    for charge in charges.values():
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(charge, signal.SIGKILL)


if __name__ == "__main__":
    watch(int(sys.argv[1]), float(sys.argv[2]))
