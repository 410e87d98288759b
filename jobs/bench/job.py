"""`python -m jobs bench job`: how fast whole jobs are, beside their engine and one another."""

import os
from typing import Annotated, Any

import typer
from rich.table import Table

from jobs.arguments import exit_codes
from jobs.bench.options import Checkpoint, Output, Repeats, Size, from_a_clone, keeping, measuring
from jobs.terminal import Terminal


def job(
    checkpoint: Checkpoint = None,
    size: Size = "214m",
    rows: Annotated[int, typer.Option(min=1, help="Rows of the lognormal workload.")] = 512,
    cores: Annotated[int | None, typer.Option(min=2, help="Cores to use; default: all.")] = None,
    repeats: Repeats = 3,
    only: Annotated[str | None, typer.Option(help="Ratios with this in their name.")] = None,
    output: Output = None,
) -> None:
    """The whole job through Ray beside its engine alone, several replicas beside one."""
    with exit_codes(), from_a_clone():
        from benchmarks.job import bench_job

    cores = cores or os.cpu_count() or 2
    report: dict[str, Any] = {}
    try:
        with measuring() as status:
            bench_job(
                checkpoint=checkpoint,
                size=size,
                rows=rows,
                cores=cores,
                repeats=repeats,
                only=only,
                progress=status.update,
                keep=keeping(report, output),
            )
    finally:  # measurements are shown even if a later one fails
        if report:
            _show(report, cores)


def _show(report: dict[str, Any], cores: int) -> None:
    title = f"output tokens a second, {report['rows']} rows, {cores} cores"
    table = Table(title=title, title_justify="left", box=None)
    for heading in ("", "running", "with start and end"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, rates in report["rates"].items():
        table.add_row(name, *(f"{rate:,.1f}" for rate in rates.values()))
    console = Terminal()
    console.print(table)
    for name, ratio in report["ratios"].items():
        console.print(f"{name}: {ratio:.2f}")
