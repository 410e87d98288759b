"""The command line: `python -m jobs`, or `mixtray` where the package is installed.

A command imports what it runs when it is called: torch and Ray take seconds, which help need not wait for.
"""

import typer

from jobs.bench import bench
from jobs.doctor import doctor
from jobs.plan import plan
from jobs.run import run
from jobs.schema import schema

app = typer.Typer(
    help="Batch offline inference for Mixtral on Ray.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.command()(run)
app.command()(plan)
app.add_typer(bench, name="bench")
app.command()(doctor)
app.command()(schema)

if __name__ == "__main__":
    app(prog_name="python -m jobs")
