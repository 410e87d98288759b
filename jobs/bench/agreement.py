"""`python -m jobs bench agreement`: how near 8 bits, or bfloat16, come to float32 on a job's rows."""

from typing import Annotated

import typer

from jobs.arguments import Config, Overrides, exit_codes
from jobs.bench.options import from_a_clone, one_of

COMPARED = ("int8", "bfloat16")  # as in benchmarks.agreement


def agreement(
    config: Config,
    overrides: Overrides = None,
    way: Annotated[
        str, typer.Option(help=f"Compared with float32: {', '.join(COMPARED)}.", callback=one_of(COMPARED))
    ] = "int8",
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """How often 8 bits, or bfloat16, give a job's rows the answers that float32 gives them."""
    with exit_codes():
        with from_a_clone():
            from benchmarks.agreement import NEAR
            from benchmarks.agreement import agreement as measure_agreement
        from pipeline.config.job import JobConfig

        found = measure_agreement(JobConfig.load(config, overrides), way, threads)
    what = "label" if found.mean_difference is not None else "tokens"
    print(f"{found.same:,} of {found.rows:,} rows have the same {what} ({found.same / found.rows:.2%})")
    if found.mean_difference is not None:
        print(f"the probability of the label differs by {found.mean_difference:.4f} on average")
    if found.near is not None:
        share = found.near / found.rows
        print(f"in {found.near:,} rows ({share:.2%}) no choice's probability differs by more than {NEAR}")
    if found.mean_same_tokens is not None:
        print(f"of a row's tokens, {found.mean_same_tokens:.1%} come before the first that differs")
