"""One template in a child process with limits: whatever it does, it ends in time, in memory, and in order."""

import os
import resource
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from pipeline.errors import ConfigError, RowError
from pipeline.text import template_budget
from pipeline.text.chat_jinja import compile_chat_template

# Of processor time for compiling, and for rendering, on a machine that is not slow. The slowest template
# seen that used up its steps took 2.3.
SECONDS = 4.0
_ADDITIONS, _SECONDS_TO_ADD = 10**6, 0.06
MEMORY = 500 << 20  # bytes over what the imports take
_HANGS_AFTER = 30  # seconds of processor time
_ENDS = ("text", "row error", "refused", "bug")


@dataclass(frozen=True)
class Verdict:
    ended: str  # one of _ENDS, or the signal that ended it
    seconds: float  # on a machine that is not slow
    memory: int  # bytes at its peak, over what the imports take
    message: str = ""  # of the error

    @property
    def good(self) -> bool:
        return self.ended in _ENDS[:3] and self.seconds <= SECONDS and self.memory <= MEMORY


def slowness() -> float:
    """How many times as long this machine takes now for plain additions; 1 at least."""
    begun = time.process_time()
    sum(number for number in range(_ADDITIONS))
    return max(1.0, (time.process_time() - begun) / _SECONDS_TO_ADD)


def judge(source: str, values: dict[str, Any], steps: int = template_budget.MAX_STEPS) -> Verdict:
    """`steps` are what a rendering may take, fewer where time is short."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        template_budget.MAX_STEPS = steps
        _run(source, values, writing)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        said = pipe.read().split(" ", 3)
    _, status, usage = os.wait4(pid, 0)
    if len(said) != 4:
        ended = signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "no word"
        return Verdict(ended, (usage.ru_utime + usage.ru_stime) / slowness(), 0)
    return Verdict(said[0].replace("_", " "), float(said[1]) / slowness(), int(said[2]), said[3])


def _run(source: str, values: dict[str, Any], pipe: int) -> NoReturn:
    try:
        signal.setitimer(signal.ITIMER_PROF, _HANGS_AFTER)
        page = resource.getpagesize()
        size, resident = (int(pages) * page for pages in Path("/proc/self/statm").read_text().split()[:2])
        resource.setrlimit(resource.RLIMIT_AS, (size + 4 * MEMORY, size + 4 * MEMORY))
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        ended, seconds, message = _ended(source, values)
        os.write(pipe, f"{ended} {seconds} {max(0, _peak() - resident)} {message}".encode())
    finally:
        os._exit(0)


def _ended(source: str, values: dict[str, Any]) -> tuple[str, float, str]:
    begun = time.process_time()
    compiling, message = 0.0, ""
    try:
        template = compile_chat_template(source, "fuzzed")
        compiling = time.process_time() - begun
        begun = time.process_time()
        template.render(values)
        ended = "text"
    except RowError as error:
        ended = "bug" if isinstance(error.__cause__, MemoryError) else "row_error"
        message = error.message
    except ConfigError as error:
        ended, message = "refused", str(error)
    except BaseException as error:
        ended, message = "bug", repr(error)
    return ended, max(compiling, time.process_time() - begun), message


def _peak() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) << 10
