"""The processes of a Ray that a process started, found by their names, and stopped as a whole."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil

SERVERS = ("raylet", "gcs_server")


def named(parent: int, *names: str) -> list[int]:
    """The ids of all processes below `parent` with one of these names."""
    return [process.pid for process in below(parent) if _name(process) in names]


def with_command(parent: int, word: str) -> bool:
    """Whether a process below `parent` has the word in its command line, as Ray's workers have their task."""
    return any(word in _command(process) for process in below(parent))


def below(parent: int) -> list[psutil.Process]:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(parent).children(recursive=True)
    return []


@contextmanager
def stopped(process_ids: list[int]) -> Iterator[None]:
    """They stand still during the block."""
    for process_id in process_ids:
        os.kill(process_id, signal.SIGSTOP)
    try:
        yield
    finally:
        for process_id in process_ids:
            with suppress(ProcessLookupError):
                os.kill(process_id, signal.SIGCONT)


def _name(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return str(process.name())
    return ""


def _command(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline())
    return ""
