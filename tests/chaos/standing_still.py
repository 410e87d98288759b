"""A process that stands still for a while: SIGSTOP, and SIGCONT seconds later."""

import os
import signal
import threading
from contextlib import suppress


def stand_still(pid: int, seconds: float) -> bool:
    """Stop a process for so long; True if it lived. It may be killed meanwhile."""
    try:
        descriptor = os.pidfd_open(pid)
        signal.pidfd_send_signal(descriptor, signal.SIGSTOP)
    except ProcessLookupError:
        return False

    def go_on() -> None:
        with suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGCONT)
        os.close(descriptor)

    timer = threading.Timer(seconds, go_on)
    timer.daemon = True
    timer.start()
    return True
