"""The wait for the port of a Ray that starts. Ray's own holds Python's lock: nothing hears a signal then."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray._private.node

_WAIT = "wait_for_persisted_port"
_SECONDS_BETWEEN_LOOKS = 0.05


@contextmanager
def interruptible() -> Iterator[None]:
    """Have Ray, in the block, look for the port again and again, and let other threads run in between.

    Versions of Ray that wait in another way are left alone.
    """
    node: Any = ray._private.node
    whole = getattr(node, _WAIT, None)
    if whole is None:
        yield
        return

    def wait(
        folder: str, node_id: str, name: str, timeout_ms: int = 30_000, poll_interval_ms: int = 100
    ) -> int:
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            try:
                return int(whole(folder, node_id, name, timeout_ms=0, poll_interval_ms=poll_interval_ms))
            except RuntimeError:  # it is not there yet
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    setattr(node, _WAIT, wait)
    try:
        yield
    finally:
        setattr(node, _WAIT, whole)
