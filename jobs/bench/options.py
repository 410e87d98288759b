"""What the commands of `bench` share: options, the clone that they need, and how a report is kept."""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.status import Status

from jobs.terminal import Terminal
from pipeline.errors import ConfigError

SIZES = ("214m", "8x7b", "8x7b-half", "tiny")  # as in benchmarks.random_checkpoint


def one_of(known: Iterable[str]) -> Callable[[Any], Any]:
    """A check of an option's value, or of each where it may be repeated."""

    def check(given: Any) -> Any:
        for value in [given] if isinstance(given, str) else given or []:
            if value not in known:
                raise typer.BadParameter(f"{value} is none of {', '.join(known)}")
        return given

    return check


Checkpoint = Annotated[Path | None, typer.Option(help="A checkpoint's folder; default: random weights.")]
Size = Annotated[
    str, typer.Option(help=f"Of the random weights: {', '.join(SIZES)}.", callback=one_of(SIZES))
]
Repeats = Annotated[int, typer.Option(min=1, help="Rounds; medians are reported.")]
Output = Annotated[Path | None, typer.Option(help="Where to write the report as JSON.")]


@contextmanager
def from_a_clone() -> Iterator[None]:
    """Import from `benchmarks/` within; ConfigError where only the package is installed, which lacks it."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "benchmarks":
            raise
        raise ConfigError(
            "bench needs the folder benchmarks/, which the installed package does not have: "
            "run `python -m jobs bench` in the root of a clone of the repository"
        ) from error


@contextmanager
def measuring() -> Iterator[Status]:
    """Show what is being measured; report a ValueError as an option that is wrong."""
    with Terminal(stderr=True).status("writing the checkpoint") as status:
        try:
            yield status
        except ValueError as error:
            raise typer.BadParameter(str(error)) from error


def keeping(kept: dict[str, Any], output: Path | None) -> Callable[[dict[str, Any]], None]:
    """A function that keeps the report so far in `kept` and in the file, as a later round may fail."""

    def keep(report: dict[str, Any]) -> None:
        kept.update(report)
        if output is not None:
            output.write_text(json.dumps(report, indent=1), encoding="utf-8")

    return keep
