"""How a job stops when it is asked to: no shard begins, what is finished is committed, the rest is given up.

SIGTERM or Ctrl-C closes the gate before which shards stand; the replicas then write down that they gave up
their shards, so that an interruption never counts as a death, and the driver leaves once the commits under
way have arrived. A second signal leaves at once.

While a job plans, and while it adds up, nothing is under way: then the first signal leaves at once. One that
meets the last commit changes nothing.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from types import FrameType

from pipeline.supervision.in_flight import UnderWay
from pipeline.supervision.signals import handled_by, interrupted

_SECONDS_TO_LEAVE = 10.0  # for what the block does on its way out


@contextmanager
def stopping_on_signals(under_way: UnderWay) -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into Interrupted, once the commits under way have arrived.

    Handlers can be set in a process' main thread only; elsewhere this does nothing. Enter it after ray.init,
    which sets handlers of its own.
    """
    main = threading.main_thread()
    if threading.current_thread() is not main:
        yield
        return
    leaving = Leaving(under_way, main)
    with interrupted(), handled_by(leaving.on_signal), leaving:
        yield


class Leaving:
    """A thread that finishes what is under way when the first signal has come, then interrupts the block."""

    def __init__(self, under_way: UnderWay, main: threading.Thread) -> None:
        assert main.ident is not None
        self._under_way = under_way
        self._main = main.ident
        self._asked = False
        # Its `put` may interrupt itself, as a signal's handler may.
        self._end: SimpleQueue[str] = SimpleQueue()
        self._ended = threading.Event()
        self._ending = threading.Lock()

    def __enter__(self) -> None:
        threading.Thread(target=self._leave_in_order, name="stopping", daemon=True).start()

    def __exit__(self, *_: object) -> None:
        with self._ending:
            self._ended.set()
        self._end.put("done")

    def on_signal(self, signum: int, frame: FrameType | None) -> None:
        if self._ended.is_set():
            return
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        self._end.put("asked")

    def _leave_in_order(self) -> None:
        if self._end.get() == "done":
            return
        try:
            with suppress(OSError):  # a pipe that nobody reads any more
                print("stopping: the commits under way are finished first", file=sys.stderr, flush=True)
            self._under_way.finish()
        finally:
            # Again, should it be lost: Python drops what is raised while an object is being deleted.
            while self._interrupt():
                self._ended.wait(_SECONDS_TO_LEAVE)

    def _interrupt(self) -> bool:
        """Whether the block goes on; its end may have been interrupted before it said so."""
        with self._ending:
            goes_on = not self._ended.is_set() and signal.getsignal(signal.SIGTERM) == self.on_signal
            if goes_on:
                signal.pthread_kill(self._main, signal.SIGTERM)
            return goes_on
