"""Runs one section in a process of its own: its time is limited, and its memory is freed when it ends."""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks.device.setting import Setting, Table

_END_SECONDS = 10  # that a child may take to exit by itself
_LAST_WORDS = 3000  # characters of its output


@dataclass(frozen=True)
class Outcome:
    seconds: float
    table: Table
    failure: str | None = None  # why there is no table
    output: str = ""


def run_section(measure: Callable[[Setting], Table], setting: Setting, limit_seconds: float) -> Outcome:
    """The process is forked, so that it need not import torch again: no GPU may be in use here yet."""
    fork = multiprocessing.get_context("fork")
    receive, send = fork.Pipe(duplex=False)
    with tempfile.TemporaryDirectory(prefix="device-session-") as folder:
        log = Path(folder) / "output"
        child = fork.Process(target=_child, args=(measure, setting, send, log))
        started = time.monotonic()
        child.start()
        send.close()
        table, failure = _received(receive, limit_seconds)
        if failure is None:
            child.join(_END_SECONDS)
        _end(child)
        output = log.read_text(errors="replace")[-_LAST_WORDS:] if log.exists() else ""
    return Outcome(time.monotonic() - started, table, failure, output)


def _received(receive: Connection, limit_seconds: float) -> tuple[Table, str | None]:
    if not receive.poll(limit_seconds):
        return [], f"it took longer than its limit of {limit_seconds:.0f} s"
    try:
        table, failure = receive.recv()
    except EOFError:
        return [], "its process ended without a result: a signal killed it, or memory ran out"
    return table, failure


def _end(child: multiprocessing.process.BaseProcess) -> None:
    """Kill the child, and all processes that it has started."""
    assert child.pid is not None
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.join()


def _child(measure: Callable[[Setting], Table], setting: Setting, send: Connection, log: Path) -> None:
    os.setsid()
    sys.stdout = sys.stderr = file = log.open("w", buffering=1)
    for output in (1, 2):  # libraries and child processes write to these
        os.dup2(file.fileno(), output)
    try:
        send.send((measure(setting), None))
    except BaseException:
        send.send(([], traceback.format_exc(limit=-6)))
