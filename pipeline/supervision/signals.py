"""What SIGTERM, SIGHUP and Ctrl-C do. Commands import this file first, so it imports nothing heavy."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from pipeline.errors import Interrupted


def stopping_signals() -> tuple[signal.Signals, ...]:
    """Those that stop a run. SIGHUP (a terminal was closed) is none where it is ignored, as under nohup."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return (signal.SIGTERM, signal.SIGINT, *(() if ignored else (signal.SIGHUP,)))


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Have these signals end the process itself: for imports, which may swallow an exception."""

    def end(signum: int, frame: FrameType | None) -> None:
        with suppress(OSError):  # the terminal may be gone
            os.write(2, f"interrupted: {Interrupted()}\n".encode())
        os._exit(Interrupted.exit_code)

    with handled_by(end):
        yield


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Have these signals raise Interrupted in the block; in the main thread only, else do nothing."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with handled_by(signal.default_int_handler), interrupted():
        yield


@contextmanager
def interrupted() -> Iterator[None]:
    """Turn the KeyboardInterrupt or SystemExit that a signal's handler raises into Interrupted.

    Inside the block they are no Exception, so no `except Exception` takes them for a failure to be retried.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # a handler that Ray sets for SIGTERM raises SystemExit
        if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.alarm(0)  # and, while Ray starts, sets an alarm that would abort the process 3 s later
        raise Interrupted from None


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Set the handler of these signals for the block; in the main thread only."""
    before = {number: signal.signal(number, handler) for number in stopping_signals()}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
