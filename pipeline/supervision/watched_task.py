"""The work of a Ray task, in a worker with a watchdog: Ray notices deaths, but no process that is stopped.

A worker runs one Ray task after the other, and may be stopped between two, when the next is already assigned
to it. So it is watched from its first Ray task until it ends; Ray then gives its task to another worker.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Generic, ParamSpec, TypeVar

from pipeline.supervision.watchdog import Watchdog

Given = ParamSpec("Given")
Made = TypeVar("Made")


@dataclass(frozen=True)
class Watched(Generic[Given, Made]):
    """Calls `work`, in a process that is killed once it is stopped for `deadline` seconds."""

    work: Callable[Given, Made]
    deadline: float

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Made:
        _watch(self.deadline)
        return self.work(*args, **kwargs)


@cache
def _watch(deadline: float) -> None:
    Watchdog(deadline).beat()
