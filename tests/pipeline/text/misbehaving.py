"""Functions for templates that the budget knows nothing of, as a mistake in it would be."""

import os
import signal


def hang() -> None:
    sum(range(10**15))  # in C, where no signal of Python's is heeded


def grow() -> str:
    return "x" * (3 << 30)


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exceed() -> None:
    os.kill(os.getpid(), signal.SIGXCPU)


def fail() -> None:
    raise KeyError("the SECRET of a row")
