"""`python -m jobs bench agreement`: how near fewer bits come to float32 on a job's rows."""

from typing import Annotated

import typer

from jobs.arguments import Config, Overrides, exit_codes
from jobs.bench.options import from_a_clone, one_of

COMPARED = ("int8", "int4", "nf4", "bfloat16", "float32")  # as in benchmarks.agreement


def agreement(
    config: Config,
    overrides: Overrides = None,
    way: Annotated[
        str | None,
        typer.Option(
            help=f"What is compared with float32: {', '.join(COMPARED)}. Default: int8; with --against it is "
            "float32, which leaves a quantized upload in the bits that it is stored in.",
            callback=one_of(COMPARED),
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="CHECKPOINT",
            help="Computes in float32 in place of the job's checkpoint: the one of which that was quantized.",
        ),
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """How often fewer bits give a job's rows the answers that float32 gives them, and how near they come."""
    way = way or ("float32" if against else "int8")
    with exit_codes():
        with from_a_clone():
            from benchmarks.agreement import NEAR
            from benchmarks.agreement import agreement as measure_agreement
        from pipeline.config.job import JobConfig

        found = measure_agreement(JobConfig.load(config, overrides), way, threads, against)
    what = "label" if found.mean_difference is not None else "tokens"
    print(f"{found.same:,} of {found.rows:,} rows have the same {what} ({found.same / found.rows:.2%})")
    print(f"{found.flips:,} rows have another ({found.flips / found.rows:.2%})")
    if found.mean_difference is not None:
        print(f"the probability of the label differs by {found.mean_difference:.4f} on average")
    if found.near is not None:
        share = found.near / found.rows
        print(f"in {found.near:,} rows ({share:.2%}) no choice's probability differs by more than {NEAR}")
    if found.mean_same_tokens is not None:
        print(f"of a row's tokens, {found.mean_same_tokens:.1%} come before the first that differs")
    if found.perplexities is not None:
        reference, other = found.perplexities
        print(
            f"the prompts' perplexity is {reference:.4f} in float32 and {other:.4f} in "
            f"{'the compared checkpoint' if against else way} ({found.scored_tokens:,} tokens)"
        )
    if found.routing_flips is not None:
        print(
            f"{found.routing_flips:.2%} of the routers' choices over the prompts' tokens are of other experts"
        )
