"""A process that does not end in time fails its test with what every process below the test is doing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

_PY_SPY = Path(sys.executable).with_name("py-spy")  # Ray's own dashboard brings it along


@contextmanager
def explained() -> Iterator[None]:
    """For a block that waits for a process with a timeout."""
    try:
        yield
    except subprocess.TimeoutExpired as late:
        written = "\n".join(_text(stream) for stream in (late.stdout, late.stderr))
        raise AssertionError(f"{late}\n{written}\n{_stacks()}") from late


def _stacks() -> str:
    children = psutil.Process(os.getpid()).children(recursive=True)
    return "\n".join(_stack(child.pid) for child in children)


def _stack(pid: int) -> str:
    """Of a process that is no Python, or has ended, what py-spy says of it."""
    dump = [str(_PY_SPY), "dump", "--pid", str(pid)]
    try:
        done = subprocess.run(dump, text=True, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"process {pid}: {error}"
    return f"process {pid}:\n{done.stdout}{done.stderr}"


def _text(stream: str | bytes | None) -> str:
    return stream.decode(errors="replace") if isinstance(stream, bytes) else stream or ""
