"""Names that rich or a terminal would take for orders are printed as names, wherever text is printed."""

import io
import logging
from pathlib import Path

import pytest
from rich.table import Table

from jobs.terminal import Terminal, complain, escape_warnings

JOBS = Path(__file__).parents[2] / "jobs"
NAMES = ("o[/5]", "[red]x[/red]", ":smile:", "\x1b[31mred", "caf\udce9", "http://x/12")
SHOWN = ("o[/5]", "[red]x[/red]", ":smile:", "\\x1b[31mred", "caf\\xe9", "http://x/12")


def printed(*what: object) -> str:
    file = io.StringIO()
    Terminal(file=file, force_terminal=True, color_system="truecolor", width=200).print(*what, soft_wrap=True)
    return file.getvalue()


@pytest.mark.parametrize(("name", "shown"), [*zip(NAMES, SHOWN, strict=True)])
def test_a_name_is_printed_as_it_is_called(name: str, shown: str) -> None:
    assert printed(f"results {name}") == f"results {shown}\n"
    table = Table(title=name, box=None)
    table.add_column(name)
    table.add_row(name)
    assert printed(table).count(shown) == 3
    assert name == shown or name not in printed(table)


def test_errors_and_warnings_are_printable_too(capsys: pytest.CaptureFixture[str]) -> None:
    complain(f"error: {NAMES[3]}")
    escape_warnings()
    record = logging.LogRecord("pipeline", logging.WARNING, __file__, 1, "not taken: %s", (NAMES[4],), None)
    assert logging.lastResort is not None
    logging.lastResort.handle(record)
    assert capsys.readouterr().err == f"error: {SHOWN[3]}\nnot taken: {SHOWN[4]}\n"


def test_no_command_prints_past_it() -> None:
    """Rich's own console would take names for markup."""
    assert {path.name for path in JOBS.rglob("*.py") if "import Console" in path.read_text()} == {
        "terminal.py"
    }
