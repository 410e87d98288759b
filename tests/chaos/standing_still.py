"""Raylets that stand still for a while, as one of the soak's strikes: SIGSTOP, and SIGCONT seconds later.

A pause that is shorter than the driver's patience costs only time. A longer one ends the run of each driver
on that node with exit code 1 and a sentence with the words `TOLD`: run it again.
"""

import os
import signal
import threading
from contextlib import suppress

TOLD = "gave no answer for"
SHORT, LONG = 3.0, 45.0  # seconds; the soak's drivers are patient for 30


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
