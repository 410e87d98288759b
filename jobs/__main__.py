"""The command line: `python -m jobs`, or `mixtray` where the package is installed.

A command imports what it runs when it is called: torch and Ray take seconds, which help need not wait for.
"""

from functools import partial
from typing import Annotated, NoReturn

import typer

from jobs import __version__
from jobs.bench.commands import bench
from jobs.doctor import doctor
from jobs.plan import plan
from jobs.run import run
from jobs.schema import schema
from jobs.standard_streams import make_ready
from jobs.verify import verify
from pipeline.supervision.ending import end_with

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)
app.command()(run)
app.command()(plan)
app.add_typer(bench, name="bench")
app.command()(doctor)
app.command()(verify)
app.command()(schema)


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"mixtray {__version__}")
        raise typer.Exit


@app.callback(help="Batch offline inference for Mixtral on Ray.")
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """What every command has in common."""


def main(name: str = "mixtray") -> NoReturn:
    make_ready()
    end_with(partial(app, prog_name=name))


if __name__ == "__main__":
    main("python -m jobs")
