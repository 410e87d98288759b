"""Has templates compiled and rendered in another process, which is ended when it takes too long or too much.

Templates pay for what they do, so that rows fail alike everywhere; see `template_budget`. This is for what
nobody thought of: the driver, which must heed signals and end with a sentence, tries every template here and
never renders one itself. A worker renders in its own process, as no call to another one for each row would
pay, and renders only what the driver has tried.
"""

import json
import os
import pickle
import select
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

from pipeline.errors import ConfigError, JobError, RowError, RowErrorCode

SECONDS = 300  # of one request; before that, its processor time is limited
PROCESSOR_SECONDS = 40  # of one request, by the kernel's count
_SECONDS_TO_START = 300
LENGTH = struct.Struct("<Q")  # stands before each request
_MODULE = "pipeline.text.render_process"


class RenderProcess:
    """`made_of` is what makes a template: a function and its keyword arguments. `key` stands for it."""

    def __init__(self) -> None:
        self.seconds = SECONDS  # of one request
        self._child: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    def compile(self, key: int, made_of: object, where: str) -> None:
        """ConfigError if it is no template, or takes too much."""
        self._ask(key, made_of, None, where)

    def render(self, key: int, made_of: object, values: Mapping[str, object], where: str) -> str:
        text = self._ask(key, made_of, values, where)["text"]
        assert isinstance(text, str)
        return text

    def stop(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            with suppress(BrokenPipeError):  # half a request may not have been written
                child.communicate()

    def _ask(
        self, key: int, made_of: object, values: Mapping[str, object] | None, where: str
    ) -> dict[str, Any]:
        with self._lock:
            try:
                answer = self._answer(where, (key, None, values))
                if not answer:
                    answer = self._answer(where, (key, made_of, values))
            except BaseException:  # a signal, too: nobody reads the answer that comes then
                self.stop()
                raise
        if "code" in answer:
            raise RowError(RowErrorCode(answer["code"]), answer["message"])
        if "refused" in answer:
            raise ConfigError(answer["refused"])
        if "wrong" in answer:
            raise _stopped(where, answer["wrong"])
        if "bug" in answer:
            raise RuntimeError(answer["bug"])
        return answer

    def _answer(self, where: str, request: object) -> dict[str, Any]:
        """Empty if the process does not have the template."""
        child = self._child = self._child or _start()
        assert child.stdin is not None
        assert child.stdout is not None
        with suppress(BrokenPipeError):
            send(child.stdin, request)
        line = _read_line(child.stdout.fileno(), self.seconds)
        if line is None:
            raise _stopped(where, f"it takes more than {self.seconds} s")
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        code = child.wait()
        if code == -signal.SIGXCPU:
            raise _stopped(where, f"it takes more than {PROCESSOR_SECONDS} s of processor time")
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise _stopped(where, f"the process that tried it ended with {how}")


def send(pipe: IO[bytes], request: object) -> None:
    packed = pickle.dumps(request)
    pipe.write(LENGTH.pack(len(packed)) + packed)
    pipe.flush()


_rendering: ContextVar[RenderProcess | None] = ContextVar("rendering", default=None)
_of_process: dict[int, RenderProcess] = {}  # by process id, since a fork must not share its parent's


@contextmanager
def rendering_apart(seconds: int = SECONDS, then_stop: bool = False) -> Iterator[None]:
    """Have templates of the block compiled and rendered in a process that all such blocks share.

    It ends with this one, or behind a block with `then_stop`.
    """
    process = _of_process.setdefault(os.getpid(), RenderProcess())
    process.seconds = seconds
    token = _rendering.set(process)
    try:
        yield
    finally:
        _rendering.reset(token)
        if then_stop:
            process.stop()


def elsewhere() -> RenderProcess | None:
    """Where templates are to be rendered; None: here."""
    return _rendering.get()


def _start() -> subprocess.Popen[bytes]:
    """Back once it is ready: what its start takes is no template's fault."""
    here = str(Path(__file__).resolve().parents[2])
    path = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    child = subprocess.Popen(
        [sys.executable, "-P", "-m", _MODULE],  # -P: the current folder may hold modules of its own
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # what a library says there may quote a row
        env={**os.environ, "PYTHONPATH": path},
        start_new_session=True,
    )
    assert child.stdout is not None
    try:
        ready = _read_line(child.stdout.fileno(), _SECONDS_TO_START)
    except BaseException:
        child.kill()
        raise
    if not ready:
        child.kill()
        raise JobError(f"{_MODULE}, which tries templates, did not start: exit code {child.wait()}")
    return child


def _read_line(pipe: int, seconds: int) -> bytes | None:
    """None if it takes longer. A second in which this process was stopped counts as one."""
    line = bytearray()
    for _ in range(seconds):
        while select.select([pipe], [], [], 1.0)[0]:
            part = os.read(pipe, 1 << 16)
            line += part
            if not part or part.endswith(b"\n"):
                return bytes(line)
    return None


def _stopped(where: str, why: str) -> ConfigError:
    return ConfigError(
        f"{where}: {why}, so it was stopped before any row was run: use another template, or have this one "
        "do less"
    )
