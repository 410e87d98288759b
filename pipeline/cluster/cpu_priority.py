"""The priority of Ray's processes on CPUs that they share with the engine: they must not preempt it.

Ray's processes wake thousands of times a second for little work, and each time may preempt one of the
engine's threads, for which the others then wait. Under SCHED_BATCH (see sched(7)) a process that wakes waits
for the clock's next tick instead; its share of CPU time stays the same. Where a sandbox refuses that, or the
system is not Linux, nothing changes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def lowered() -> Iterator[None]:
    """Run the block under SCHED_BATCH; threads and processes started in it keep that policy."""
    changed = _change("SCHED_OTHER", "SCHED_BATCH")
    try:
        yield
    finally:
        if changed:
            _change("SCHED_BATCH", "SCHED_OTHER")


def normal() -> None:
    """Put this thread back under SCHED_OTHER, and with it the threads that it starts from now on."""
    _change("SCHED_BATCH", "SCHED_OTHER")


def _change(before: str, after: str) -> bool:
    """Change this thread's policy if it is `before`; returns whether it was changed."""
    with suppress(OSError, AttributeError):
        if os.sched_getscheduler(0) == getattr(os, before):
            os.sched_setscheduler(0, getattr(os, after), os.sched_param(0))
            return True
    return False
