"""The one place where text goes to a terminal: names in it are an enemy's, and neither markup nor escapes."""

import logging
import sys
from typing import Any

from rich.console import Console
from rich.text import Text

from pipeline.errors import printable


class Terminal(Console):
    """Prints text as it is: no markup, no `:emoji:`, no highlighting, and nothing that a terminal obeys."""

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Rich passes all strings through here, those of tables too."""
        return super().render_str(printable(text), **options)


def complain(text: str) -> None:
    """One line on standard error."""
    print(printable(text), file=sys.stderr, flush=True)


def escape_warnings() -> None:
    """Warnings of the log, which go to standard error unless a program says otherwise, are printable too."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Printable())


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))
