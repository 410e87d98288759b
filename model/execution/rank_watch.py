"""Notices that a child has ended, whatever the ranks compute with, and frees whoever waits for it.

gloo raises in the other ranks when one has ended. With NCCL they wait for good: only the end of the process
that waits, or of its communicator, ends a kernel that waits for its peer.
"""

import logging
import os
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager

GRACE_SECONDS = 10.0  # a step has to fail by itself, once a rank has ended
_NOTICE_SECONDS = 2.0  # a child's connections may end that much earlier than the child

logger = logging.getLogger(__name__)


class RankError(RuntimeError):
    """A rank ended, or does not start."""


class RankWatch:
    """Watches the children of rank 0, which are the ranks from 1 on."""

    def __init__(self, children: "list[subprocess.Popen[bytes]]") -> None:
        self.reason: str | None = None  # what has ended first
        self._ended = threading.Event()
        self._not_waiting = threading.Event()
        self._not_waiting.set()
        self._closing = False
        for rank, child in enumerate(children, start=1):
            threading.Thread(target=self._wait, args=(rank, child), daemon=True, name=f"rank-{rank}").start()

    def close(self) -> None:
        """From here on children may end."""
        self._closing = True

    def check(self) -> None:
        """RankError if a rank has ended."""
        if self.reason is not None:
            raise RankError(self.reason)

    @contextmanager
    def step(self) -> Iterator[None]:
        """What this process does together with the others. RankError if it fails because one has ended.

        If it goes on regardless, this process is ended.
        """
        self._not_waiting.clear()
        try:
            self.check()
            yield
        except RankError:
            raise
        except Exception as error:
            if self._ended.wait(_NOTICE_SECONDS):
                raise RankError(self.reason) from error
            raise
        finally:
            self._not_waiting.set()

    def _wait(self, rank: int, child: "subprocess.Popen[bytes]") -> None:
        code = child.wait()
        if self._closing:
            return
        self.reason = self.reason or f"rank {rank} ended with code {code}; its output says why"
        self._ended.set()
        if not self._not_waiting.wait(GRACE_SECONDS) and not self._closing:
            logger.critical("%s. This process waits for it in vain and ends", self.reason)
            logging.shutdown()
            os._exit(1)
