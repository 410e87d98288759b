"""The commands of `python -m jobs bench`."""

import typer

from jobs.bench.agreement import agreement
from jobs.bench.engine import engine
from jobs.bench.job import job
from jobs.bench.load import load

bench = typer.Typer(help="Measure how fast it is; needs a clone of the repository.", no_args_is_help=True)
bench.command()(engine)
bench.command()(job)
bench.command()(agreement)
bench.command()(load)
