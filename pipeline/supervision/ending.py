"""How the process of a command ends: with its exit code and in time, though Ray may stand still.

Ray's own way out, at the interpreter's end, waits for its raylet and GCS without a limit.
"""

import logging
import os
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import NoReturn

from pipeline.errors import Interrupted
from pipeline.supervision.signals import stopping_signals
from pipeline.supervision.stop_budget import SECONDS_TO_SHUT_DOWN, SECONDS_TO_THE_LAST_RESORT

_SECONDS_WITHOUT_HURRY = 10.0  # to shut Ray down where nobody asked this process to stop


def end_with(command: Callable[[], object]) -> NoReturn:
    """Run a command as all that this process does, and end with its exit code.

    Once a signal that stops runs came, the process ends in time, whatever it is doing.
    """
    ending = _Ending()
    ending.handle(number for number in stopping_signals() if number != signal.SIGINT)
    ending.hear_signals()
    try:
        command()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()  # Ray's hook for it would ask the GCS
        code = 1
    ending.decided = code
    ending.handle(stopping_signals())
    _leave(SECONDS_TO_SHUT_DOWN if ending.asked.is_set() else _SECONDS_WITHOUT_HURRY)
    os._exit(code)


class _Ending:
    def __init__(self) -> None:
        self.decided: int | None = None  # the exit code, once the command has ended
        self.asked = threading.Event()  # by a signal

    def handle(self, signals: Iterable[signal.Signals]) -> None:
        """Have these signals end the process at once, where nothing else handles them."""
        for number in signals:
            signal.signal(number, lambda *_: self.end())

    def hear_signals(self) -> None:
        """Python tells a thread of each signal that has a handler, even if the main thread is in C code."""
        self._heard, told = socket.socketpair()
        told.setblocking(False)
        signal.set_wakeup_fd(told.detach(), warn_on_full_buffer=False)
        threading.Thread(target=self._end_in_time, name="last resort", daemon=True).start()

    def end(self) -> NoReturn:
        if self.decided is None:
            with suppress(OSError):  # the terminal may be gone
                os.write(2, f"interrupted: {Interrupted()}\n".encode())
        os._exit(Interrupted.exit_code if self.decided is None else self.decided)

    def _end_in_time(self) -> None:
        while not {*self._heard.recv(64)} & {*stopping_signals()}:
            pass
        self.asked.set()
        time.sleep(SECONDS_TO_THE_LAST_RESORT)
        self.end()


def _leave(seconds: float) -> None:
    """Leave Ray, which takes at most so long, and hand on all that was said."""
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        shutdown = partial(ray.shutdown, _exiting_interpreter=True)
        leaving = threading.Thread(target=shutdown, name="leaving Ray", daemon=True)
        leaving.start()
        leaving.join(seconds)
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # nobody reads it any more, or it is closed
            stream.flush()
