"""A task's work, in a process that is killed once it stands still: Ray notices deaths alone.

A worker of Ray's runs one task after the other, and the next would wait for one that was stopped between two.
So it is watched from its first task to its end; Ray gives the task to another.
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
    """Calls `work`; the process may stand still for `deadline` seconds at most."""

    work: Callable[Given, Made]
    deadline: float

    def __call__(self, *args: Given.args, **kwargs: Given.kwargs) -> Made:
        _watch(self.deadline)
        return self.work(*args, **kwargs)


@cache
def _watch(deadline: float) -> None:
    Watchdog(deadline).beat()
