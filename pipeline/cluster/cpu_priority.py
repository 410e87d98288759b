"""Who goes first where the engine and Ray's processes share CPUs: the engine.

Ray's processes wake thousands of times a second for next to nothing, and each time may push aside what runs:
one of the engine's threads, for which the others then wait. As batch processes (sched(7)) they wait for the
clock's next tick instead. Their share of the time stays what it was. Where a sandbox refuses that, or the
system is not Linux, all stay equal.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def giving_way() -> Iterator[None]:
    """This thread waits for the tick; so do, for good, threads and processes that it starts in the block."""
    changed = _change("SCHED_OTHER", "SCHED_BATCH")
    try:
        yield
    finally:
        if changed:
            _change("SCHED_BATCH", "SCHED_OTHER")


def go_first() -> None:
    """The opposite for this thread, and for those that it starts from now on."""
    _change("SCHED_BATCH", "SCHED_OTHER")


def _change(before: str, after: str) -> bool:
    """Whether this thread had the one policy and has the other now."""
    with suppress(OSError, AttributeError):
        if os.sched_getscheduler(0) == getattr(os, before):
            os.sched_setscheduler(0, getattr(os, after), os.sched_param(0))
            return True
    return False
