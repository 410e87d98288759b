"""Who goes first where the engine and Ray's processes share CPUs: the engine.

Ray's processes wake thousands of times a second for next to nothing, and each time may push aside what runs:
one of the engine's threads, for which the others then wait. As batch processes (sched(7)) they wait for the
clock's next tick instead. Their share of the time stays what it was.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_KNOWN = hasattr(os, "SCHED_BATCH")  # Linux alone


@contextmanager
def waiting_for_the_tick() -> Iterator[None]:
    """This thread, and threads and processes that it starts in the block."""
    policy = os.sched_getscheduler(0) if _KNOWN else None
    if policy is None or policy != os.SCHED_OTHER:
        yield
        return
    _schedule(os.SCHED_BATCH)
    try:
        yield
    finally:
        _schedule(policy)


def go_first() -> None:
    """This thread, and those that it starts from now on, no longer wait for the tick."""
    if _KNOWN and os.sched_getscheduler(0) == os.SCHED_BATCH:
        _schedule(os.SCHED_OTHER)


def _schedule(policy: int) -> None:
    os.sched_setscheduler(0, policy, os.sched_param(0))
