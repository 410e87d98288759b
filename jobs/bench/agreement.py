"""`python -m jobs bench agreement`: how near the model in 8 bits comes to float32 on a job's rows."""

from typing import Annotated

import typer

from jobs.arguments import Config, Overrides, exit_codes
from jobs.bench.options import from_a_clone


def agreement(
    config: Config,
    overrides: Overrides = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads.")] = None,
) -> None:
    """How often model.quantization int8 gives a job's rows the answers that float32 gives them."""
    with exit_codes():
        with from_a_clone():
            from benchmarks.agreement import agreement as measure_agreement
        from pipeline.config.job import JobConfig

        found = measure_agreement(JobConfig.load(config, overrides), threads)
    what = "label" if found.mean_difference is not None else "tokens"
    print(f"{found.same:,} of {found.rows:,} rows have the same {what} ({found.same / found.rows:.2%})")
    if found.mean_difference is not None:
        print(f"the probability of the label differs by {found.mean_difference:.4f} on average")
    if found.mean_same_tokens is not None:
        print(f"of a row's tokens, {found.mean_same_tokens:.1%} come before the first that differs")
