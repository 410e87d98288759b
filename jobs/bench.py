"""`python -m jobs bench`: how fast the engine is, and the whole job, and how near int8 comes to float32."""

import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from jobs.arguments import Config, Overrides, exit_codes

WORKLOADS = ("lognormal", "uniform", "label", "conversations")  # as in benchmarks.workloads
SIZES = ("214m", "8x7b", "8x7b-half", "tiny")  # as in benchmarks.random_checkpoint

bench = typer.Typer(help="Measure how fast it is.", no_args_is_help=True)


@bench.callback()
def _commands() -> None:
    """A command of its own for each thing to measure."""


def _one_of(known: Iterable[str]) -> Callable[[Any], Any]:
    def check(given: Any) -> Any:
        for value in [given] if isinstance(given, str) else given or []:
            if value not in known:
                raise typer.BadParameter(f"{value} is none of {', '.join(known)}")
        return given

    return check


Checkpoint = Annotated[Path | None, typer.Option(help="A checkpoint's folder; default: random weights.")]
Size = Annotated[
    str, typer.Option(help=f"Of the random weights: {', '.join(SIZES)}.", callback=_one_of(SIZES))
]
Repeats = Annotated[int, typer.Option(min=1, help="Rounds; medians are reported.")]
Output = Annotated[Path | None, typer.Option(help="Where to write the report as JSON.")]


@bench.command()
def engine(
    workload: Annotated[
        list[str] | None,
        typer.Option(help=f"{', '.join(WORKLOADS)}; default: the first three.", callback=_one_of(WORKLOADS)),
    ] = None,
    checkpoint: Checkpoint = None,
    size: Size = "214m",
    rows: Annotated[int | None, typer.Option(min=1, help="Rows of each workload.")] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of each contender.")] = None,
    repeats: Repeats = 3,
    only: Annotated[str | None, typer.Option(help="Contenders with this in their name.")] = None,
    llama_server: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="llama.cpp's server, to be a contender; needs mixtray[dev].",
        ),
    ] = None,
    output: Output = None,
) -> None:
    """The engine alone, without Ray, on workloads of fixed seeds, alternating with its peers."""
    from benchmarks.engine import bench_engine

    workloads = workload or [*WORKLOADS[:3]]
    with _measuring() as progress:
        report = bench_engine(
            workloads,
            checkpoint=checkpoint,
            size=size,
            rows=rows,
            threads=threads,
            repeats=repeats,
            only=only,
            llama_server=llama_server,
            progress=progress,
            keep=_keeping(output),
        )
    for name, measured in report["workloads"].items():
        _show(name, measured)


@bench.command()
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
    from benchmarks.job import bench_job

    cores = cores or os.cpu_count() or 2
    with _measuring() as progress:
        report = bench_job(
            checkpoint=checkpoint,
            size=size,
            rows=rows,
            cores=cores,
            repeats=repeats,
            only=only,
            progress=progress,
            keep=_keeping(output),
        )
    table = Table(title=f"output tokens a second, {rows} rows, {cores} cores", title_justify="left", box=None)
    for heading in ("", "running", "with start and end"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, rates in report["rates"].items():
        table.add_row(name, *(f"{rate:,.1f}" for rate in rates.values()))
    console = Console()
    console.print(table)
    for name, ratio in report["ratios"].items():
        console.print(f"{name}: {ratio:.2f}")


@bench.command()
def agreement(
    config: Config,
    overrides: Overrides = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """How often a job's rows come out of model.quantization int8 as they come out of float32."""
    from benchmarks.agreement import agreement as measure_agreement
    from pipeline.config.job import JobConfig

    with exit_codes():
        found = measure_agreement(JobConfig.load(config, overrides), threads)
    what = "label" if found.mean_difference is not None else "tokens"
    print(f"{found.same:,} of {found.rows:,} rows have the same {what} ({found.same / found.rows:.2%})")
    if found.mean_difference is not None:
        print(f"the probability of the label differs by {found.mean_difference:.4f} on average")
    if found.mean_same_tokens is not None:
        print(f"of a row's tokens, {found.mean_same_tokens:.1%} come before the first that differs")


@contextmanager
def _measuring() -> Iterator[Callable[[str], None]]:
    """Shows what is being measured; a ValueError is an option's that fits nothing."""
    with Console(stderr=True).status("writing the checkpoint") as status:
        try:
            yield status.update
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


def _keeping(output: Path | None) -> Callable[[dict[str, Any]], None]:
    """Writes a report there as far as it has come: rounds take minutes."""

    def keep(report: dict[str, Any]) -> None:
        if output is not None:
            output.write_text(json.dumps(report, indent=1))

    return keep


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


def _breakdown(found: dict) -> str:  # type: ignore[type-arg]
    shares = ", ".join(f"{name} {share:.0%}" for name, share in found["shares"].items())
    occupancy = found["decode_occupancy"]
    rows = "" if occupancy is None else f", {occupancy:.0%} of the rows decode"
    return f"{shares}; {found['steps']} steps{rows}, {found['padding']:.0%} padding, never computed"
