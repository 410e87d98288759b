"""Progress while a job runs: a bar in a terminal, a line now and then in a job's log.

A terminal that is closed and a log that cannot be written don't end the job.
"""

import sys
import time
from contextlib import suppress
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from pipeline.reporting.summary import ShardSummary

_SECONDS_BETWEEN_LINES = 10.0
_STARTING = "starting the replicas and loading the model"


class JobProgress:
    """Use as a context; `add` every shard as it is committed. Rows of earlier runs count as done."""

    def __init__(self, rows: int, done: int) -> None:
        self._rows, self._done_before = rows, done
        self._done = self._errors = 0
        self._rows_since = self._tokens_since = 0  # since the first commit: before it, the model loads
        self._first: float | None = None
        self._last_line = time.monotonic()
        console = Console(stderr=True)
        self._bar = None
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
                TextColumn("{task.fields[rate]}"),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=rows, completed=done, rate=_STARTING)

    def __enter__(self) -> Self:
        with suppress(OSError):
            if self._bar:
                self._bar.start()
            else:
                print(
                    f"{self._done_before:,} of {self._rows:,} rows, {_STARTING}", file=sys.stderr, flush=True
                )
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            with suppress(OSError):  # the terminal was closed
                self._bar.stop()

    def add(self, summary: ShardSummary) -> None:
        self._done += summary.rows
        self._errors += sum(summary.errors.values())
        if self._first is None:
            self._first = time.monotonic()
        else:
            self._rows_since += summary.rows
            self._tokens_since += summary.prompt_tokens + summary.generated_tokens
        with suppress(OSError):
            self._show(self._done_before + self._done)

    def _show(self, done: int) -> None:
        if self._bar:
            self._bar.update(self._task, completed=done, rate=self._rate(), refresh=True)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(f"{done:,} of {self._rows:,} rows, {self._rate()}", file=sys.stderr, flush=True)

    def _rate(self) -> str:
        """Errors and, once two shards are committed, tokens/s and time left."""
        errors = f"{self._errors:,} errors"
        if self._first is None or not self._rows_since:
            return errors
        seconds = max(time.monotonic() - self._first, 1e-9)
        left = seconds * (self._rows - self._done_before - self._done) / self._rows_since
        return f"{errors}, {self._tokens_since / seconds:,.0f} tokens/s, about {left:,.0f} s left"
