"""Arguments that several commands take, and how a command ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from jobs.terminal import complain, escape_warnings
from pipeline.errors import Interrupted, JobError, describe_without_message
from pipeline.storage.urls import redact

Config = Annotated[Path, typer.Argument(help="The job file (YAML).", show_default=False)]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Override a key of the job file, e.g. --set generation.temperature=0.7; may be repeated.",
        show_default=False,
    ),
]


@contextmanager
def exit_codes() -> Iterator[None]:
    """Turn a job's errors into one line for the user and the exit code of its kind."""
    escape_warnings()
    try:
        yield
    except JobError as error:
        complain(f"{'interrupted' if isinstance(error, Interrupted) else 'error'}: {error}")
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError:
        # Nobody reads standard output any more, as with `| head`. Python would try to write to it once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        complain(f"error: {redact(str(error))}; mend the cause and run the same command again")
        raise typer.Exit(1) from error
    except Exception as error:
        complain(f"error: {describe_without_message(error)}; please report this as a bug")
        raise typer.Exit(1) from None
