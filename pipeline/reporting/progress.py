"""Progress while a job runs: a bar in a terminal, a line now and then in a job's log."""

import sys
import time
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

from pipeline.durable.publishing import ShardSummary

_SECONDS_BETWEEN_LINES = 10.0


class JobProgress:
    """Use as a context; `add` every shard as it is committed. Rows of earlier runs count as done."""

    def __init__(self, rows: int, done: int) -> None:
        self._rows, self._done_before = rows, done
        self._done = self._errors = self._tokens = 0
        self._started = time.monotonic()
        self._last_line = self._started
        console = Console(stderr=True)
        self._bar = None
        if console.is_terminal:
            self._bar = Progress(
                SpinnerColumn(),
                BarColumn(),
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} rows"),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=console,
                transient=True,
            )
            self._task = self._bar.add_task("", total=rows, completed=done, rate="loading the model")

    def __enter__(self) -> Self:
        if self._bar:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()

    def add(self, summary: ShardSummary) -> None:
        self._done += summary.rows
        self._errors += sum(summary.errors.values())
        self._tokens += summary.prompt_tokens + summary.generated_tokens
        if self._bar:
            self._bar.update(
                self._task, completed=self._done_before + self._done, rate=self._rate(), refresh=True
            )
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(self._line(), file=sys.stderr, flush=True)

    def _rate(self) -> str:
        seconds = max(time.monotonic() - self._started, 1e-9)
        return f"{self._errors:,} errors, {self._tokens / seconds:,.0f} tokens/s"

    def _line(self) -> str:
        done = self._done_before + self._done
        left = (time.monotonic() - self._started) * (self._rows - done) / max(self._done, 1)
        return f"{done:,} of {self._rows:,} rows, {self._rate()}, about {left:,.0f} s left"
