"""Progress while files are checked: a bar in a terminal, a line now and then in a log."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

_SECONDS_BETWEEN_LINES = 10.0


class CheckProgress:
    """Use as a context; `begin` it with the number of files, and `add` each with its size in bytes."""

    def __init__(self) -> None:
        self._files = self._done = self._bytes = 0
        self._last_line = time.monotonic()
        console = Console(stderr=True)
        self._bar = Progress(
            SpinnerColumn(), BarColumn(), TextColumn("{task.description}"),
            console=console, transient=True, disable=not console.is_terminal,
        )  # fmt: skip
        self._task = self._bar.add_task("", total=None)

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def begin(self, files: int) -> None:
        self._files = files
        self._show()

    def add(self, size: int) -> None:
        self._done += 1
        self._bytes += size
        self._show()

    def _show(self) -> None:
        words = f"{self._done:,} of {self._files:,} parts checked, {self._bytes / 1e6:,.0f} MB"
        self._bar.update(self._task, total=self._files, completed=self._done, description=words)
        if self._bar.disable and time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(words, file=sys.stderr, flush=True)
