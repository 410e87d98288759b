"""Arguments that several commands take, and how a command ends."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated

import typer

from jobs.terminal import complain, escape_warnings
from pipeline.errors import Interrupted, JobError, describe_without_message, job_error
from pipeline.storage.credentials import redact

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
    except typer.Exit:
        raise
    except (JobError, OSError) as error:
        told = job_error(error) if isinstance(error, OSError) else error
        kind = "interrupted" if isinstance(told, Interrupted) else "error"
        _say(f"{kind}: {redact(str(told))}")
        raise typer.Exit(told.exit_code) from error
    except Exception as error:
        _say(f"error: {describe_without_message(error)}; please report this as a bug")
        raise typer.Exit(1) from None


@contextmanager
def writing_output() -> Iterator[None]:
    """Let a reader go away, as with `| head`; an OSError, as of a full disk, names the standard output."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:  # Python would try to write to it once more at the end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        error.filename = error.filename or "the standard output"
        raise


def _say(line: str) -> None:
    """On standard error, of which perhaps nobody reads any more: the exit code then tells alone."""
    with suppress(OSError):
        complain(line)
