"""What SIGTERM and Ctrl-C do. It imports nothing heavy, so that a command can begin with it."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.errors import Interrupted

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Have SIGTERM and Ctrl-C end the process, while it only imports: what is raised there may get lost."""

    def end(signum: int, frame: FrameType | None) -> None:
        os.write(2, f"interrupted: {Interrupted()}\n".encode())
        os._exit(Interrupted.exit_code)

    with handled_by(end):
        yield


@contextmanager
def stopping_at_once() -> Iterator[None]:
    """Turn SIGTERM and Ctrl-C into Interrupted, wherever the block is; in a process' main thread only."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with handled_by(signal.default_int_handler), interrupted():
        yield


@contextmanager
def interrupted() -> Iterator[None]:
    """Turn what a signal's handler raises into Interrupted.

    Until here it is no Exception, so that nothing in between takes it for a failure to be retried or logged.
    """
    try:
        yield
    except (KeyboardInterrupt, SystemExit):  # ray.init has SIGTERM answered with the latter
        if signal.getsignal(signal.SIGALRM) is signal.SIG_DFL:
            signal.alarm(0)  # and, while it starts, with an alarm that would abort the process 3 s later
        raise Interrupted from None


@contextmanager
def handled_by(handler: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Have the handler answer SIGTERM and Ctrl-C, in the main thread."""
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)
