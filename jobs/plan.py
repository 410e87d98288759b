"""`python -m jobs plan`: what a job would do, without loading weights or writing anything."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from jobs.arguments import Config, Overrides, exit_codes, writing_output
from jobs.terminal import Terminal
from pipeline.errors import shown

if TYPE_CHECKING:
    from pipeline.preflight.forecast import Forecast
    from pipeline.preflight.found_rows import FoundRows
    from pipeline.preflight.shown_prompts import ShownPrompt

Show = Annotated[int, typer.Option("--show", metavar="N", min=0, help="Show the first N prompts as tokens.")]


def plan(config: Config, overrides: Overrides = None, show: Show = 1) -> None:
    """Show a job's files, rows and prompts, what is wrong with them, and what a run would have to do.

    Loads no weights and writes nothing. Exit code 2 if the job could not run, or if every row that was looked
    at is an error.
    """
    with exit_codes():
        from pipeline.config.job import JobConfig
        from pipeline.errors import ConfigError
        from pipeline.preflight.forecast import forecast

        found = forecast(JobConfig.load(config, overrides), show)
        with writing_output():
            _show(found)
        if found.all_bad:
            raise ConfigError(
                f"each of the {found.sampled:,} rows looked at is an error: mend what is said above"
            )


def _show(job: "Forecast") -> None:
    console = Terminal()
    table = Table(title="input files", title_justify="left", box=None, padding=(0, 2, 0, 0))
    for heading, justify in (("file", "left"), ("shards", "right"), ("rows", "right")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for file in job.files:
        table.add_row(shown(file.name), f"{file.shards:,}", f"{file.rows:,}")
    table.add_row("all", f"{job.shards:,}", f"{job.rows:,}", style="bold")
    console.print(table)
    if job.not_taken:
        console.print(f"not taken: {job.not_taken}", soft_wrap=True)
    if job.lengths:
        console.print(_histogram(job))
    for name, fact in job.facts:
        console.print(f"{name}: {fact}", soft_wrap=True)
    _show_prompts(console, job.shown)
    _show_found(console, f"errors among the {job.sampled:,} rows looked at:", job.errors)
    _show_found(console, f"doubtful among the {job.sampled:,} rows looked at:", job.notices)
    if job.duplicate_ids:
        console.print(
            f"rows with the id of another one, among the {job.sampled:,} looked at: {job.duplicate_ids:,}",
            soft_wrap=True,
        )
    if job.extension:
        names = ", ".join(shown(file.name) for file in job.extension)
        shards, rows = (sum(getattr(f, what) for f in job.extension) for what in ("shards", "rows"))
        console.print(
            f"not part of this job, which began before they came: {names}; run --extend would add "
            f"{shards:,} shards, {rows:,} rows",
            soft_wrap=True,
        )
    if job.not_to_be_added:
        console.print(f"new files that can't be added: {job.not_to_be_added}", soft_wrap=True)
    console.print(f"memory: {job.memory}", soft_wrap=True)
    missing = f"{job.shards_missing:,} shards, {job.rows_missing:,} rows"
    console.print(
        f"to run: {missing if job.shards_missing else 'nothing'}, into {job.output}", soft_wrap=True
    )


def _show_prompts(console: Terminal, prompts: "Sequence[ShownPrompt]") -> None:
    if prompts:
        console.print(
            "tokens, each up to its │: ▁ is a space, ↵ a new line, «» marks control tokens", style="dim"
        )
    for before, prompt in zip([None, *prompts], prompts, strict=False):
        for line in prompt.lines(console.width, before):
            console.print(line, soft_wrap=True)


def _show_found(console: Terminal, title: str, found: "Sequence[FoundRows]") -> None:
    if found:
        console.print(title, soft_wrap=True)
    for one in found:
        console.print(f"  {one}", soft_wrap=True)


def _histogram(job: "Forecast") -> Table:
    rows = sum(job.lengths.values())
    title = f"prompt tokens of {rows:,} rows (mean {job.mean_tokens:,.0f})"
    table = Table(title=title, title_justify="left", show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(justify="right")
    table.add_column(justify="right")
    table.add_column()
    most = max(job.lengths.values())
    for (low, high), count in job.lengths.items():
        table.add_row(
            f"{low:,}-{high:,}", f"{count:,}", "█" * max(1, round(40 * count / most)) if count else ""
        )
    return table
