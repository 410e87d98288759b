"""`python -m jobs bench engine`: how fast the engine is, beside transformers and llama.cpp."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from jobs.arguments import exit_codes
from jobs.bench.options import (
    Checkpoint,
    Output,
    Repeats,
    Size,
    from_a_clone,
    keeping,
    measuring,
    one_of,
)

WORKLOADS = ("lognormal", "uniform", "label", "conversations")  # as in benchmarks.workloads


def engine(
    workload: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(WORKLOADS)}; default: the first three.", callback=one_of(WORKLOADS)),
    ] = None,
    checkpoint: Checkpoint = None,
    size: Size = "214m",
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of each workload.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each contender.")] = None,
    repeats: Repeats = 3,
    only: Annotated[str | None, typer.Option(help="Contenders with this in their name.")] = None,
    llama_server: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="llama.cpp's server, to be a contender."),
    ] = None,
    output: Output = None,
) -> None:
    """The engine alone, without Ray, on workloads of fixed seeds, alternating with its peers.

    Peers need the packages of the extra `bench`; those that lack one are left out.
    """
    with exit_codes(), from_a_clone():
        from benchmarks.engine import bench_engine

    report: dict[str, Any] = {}
    try:
        with measuring() as status:
            bench_engine(
                workload or [*WORKLOADS[:3]],
                checkpoint=checkpoint,
                size=size,
                rows=rows,
                threads=threads,
                repeats=repeats,
                only=only,
                llama_server=llama_server,
                progress=status.update,
                tell=lambda sentence: status.console.print(sentence, markup=False, soft_wrap=True),
                keep=keeping(report, output),
            )
    finally:  # measurements are shown even if a later one fails
        for name, measured in report.get("workloads", {}).items():
            _show(name, measured)
    if any(measured["failed"] for measured in report["workloads"].values()):
        raise typer.Exit(1)


def _show(name: str, measured: dict) -> None:  # type: ignore[type-arg]
    table = Table(title=f"{name}: {measured['rows']} rows", title_justify="left", box=None)
    unit = measured["unit"]
    for heading in ("", f"{unit}/s", "all tokens/s", "seconds", "x ours", "x CPU", "of floor", "equal", "GB"):
        table.add_column(heading, justify="right" if heading else "left")
    for contender, result in measured["contenders"].items():
        table.add_row(
            contender,
            *(f"{result[key]:,.1f}" for key in ("output_a_second", "total_a_second", "seconds")),
            *(
                "" if result[key] is None else f"{result[key]:.2f}"
                for key in ("times_slower_than_ours", "times_more_cpu_than_ours", "of_floor")
            ),
            "" if result["rows_equal_to_ours"] is None else str(result["rows_equal_to_ours"]),
            f"{result['peak_bytes'] / 1e9:.2f}",
        )
    console = Console()
    console.print(table)
    for contender, result in measured["contenders"].items():
        if result["breakdown"]:
            console.print(f"{contender}: {_breakdown(result['breakdown'])}", soft_wrap=True)
    for sentence in measured["left_out"]:
        console.print(sentence, markup=False, soft_wrap=True)
    for contender, words in measured["failed"].items():
        console.print(f"{contender} failed: {words.splitlines()[-1]}", markup=False, soft_wrap=True)


def _breakdown(found: dict) -> str:  # type: ignore[type-arg]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["shares"].items())
    occupancy = found["decode_occupancy"]
    rows = "" if occupancy is None else f", {occupancy:.0%} of the rows decode"
    return f"{shares}; {found['steps']} steps{rows}"
