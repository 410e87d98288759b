"""The wait for the port of a Ray that starts, during which signals are heard.

Ray's own wait holds Python's global lock for up to 30 seconds, so that no thread and no signal handler runs.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray._private.node

_WAIT = "wait_for_persisted_port"
_SECONDS_BETWEEN_LOOKS = 0.05


@contextmanager
def interruptible() -> Iterator[None]:
    """Inside the block Ray looks for the port again and again, and other threads run in between.

    Versions of Ray that wait in another way are left alone.
    """
    node: Any = ray._private.node
    whole = getattr(node, _WAIT, None)
    if whole is None:
        yield
        return

    def wait(folder: str, node_id: str, name: str, timeout_ms: int = 30_000) -> int:
        deadline = time.monotonic() + timeout_ms / 1000
        while True:
            try:
                return int(whole(folder, node_id, name, timeout_ms=0))
            except RuntimeError:  # it is not there yet
                if time.monotonic() >= deadline:
                    raise
            time.sleep(_SECONDS_BETWEEN_LOOKS)

    setattr(node, _WAIT, wait)
    try:
        yield
    finally:
        setattr(node, _WAIT, whole)
