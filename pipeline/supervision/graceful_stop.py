"""How SIGTERM, SIGHUP or Ctrl-C stops a run: no shard begins, finished ones are committed, others given up.

The first signal closes the coordinator. The replicas then note in the store that they gave up their shards,
so that an interruption never counts as a death, and the driver ends once the commits in flight have arrived.
A second signal ends the run at once.

While a run plans, and while it writes the report, no shard is in flight: then the first signal ends it at
once. A signal that comes after the last commit changes nothing.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from queue import SimpleQueue
from types import FrameType

from pipeline.supervision import stop_budget
from pipeline.supervision.in_flight import InFlightShards
from pipeline.supervision.signals import handled_by, interrupted

_SECONDS_TO_LEAVE = 2 * stop_budget.SECONDS_TO_LEAVE  # for the cleanup of the block that is interrupted


@contextmanager
def stopping_on_signals(in_flight: InFlightShards) -> Iterator[None]:
    """Turn these signals into Interrupted, once the commits in flight have arrived.

    Handlers can be set in a process' main thread only; elsewhere this does nothing. Enter it once Ray is
    there, whose start puts a handler in C++ before the one of SIGTERM.
    """
    main = threading.main_thread()
    if threading.current_thread() is not main:
        yield
        return
    stop = GracefulStop(in_flight, main)
    with interrupted(), handled_by(stop.on_signal), stop:
        yield


class GracefulStop:
    """On the first signal a thread waits for the shards in flight, then interrupts the block."""

    def __init__(self, in_flight: InFlightShards, main: threading.Thread) -> None:
        assert main.ident is not None
        self._in_flight = in_flight
        self._main = main.ident
        self._asked = False
        # A SimpleQueue, since its `put` is reentrant: a signal handler may call it.
        self._end: SimpleQueue[str] = SimpleQueue()
        self._ended = threading.Event()
        self._ending = threading.Lock()

    def __enter__(self) -> None:
        threading.Thread(target=self._stop_in_order, name="stopping", daemon=True).start()

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

    def _stop_in_order(self) -> None:
        if self._end.get() == "done":
            return
        try:
            with suppress(OSError):  # whoever read this pipe may be gone
                print("stopping: the commits under way are finished first", file=sys.stderr, flush=True)
            self._in_flight.finish()
        finally:
            # Python drops an exception that a handler raises inside a __del__: then interrupt again.
            while self._interrupt():
                self._ended.wait(_SECONDS_TO_LEAVE)

    def _interrupt(self) -> bool:
        """Interrupt the block; returns whether it was still running.

        A block that was interrupted on its way out may not have set `_ended`; its handler is gone then.
        """
        with self._ending:
            running = not self._ended.is_set() and signal.getsignal(signal.SIGTERM) == self.on_signal
            if running:
                signal.pthread_kill(self._main, signal.SIGTERM)
            return running
