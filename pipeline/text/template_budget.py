"""What one rendering of a template may cost: steps, characters and, as the last resort, seconds.

Steps and characters are counted rather than timed, so that a row fails on every machine or on none.
"""

import time
from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from contextvars import ContextVar

from jinja2 import Undefined
from jinja2.exceptions import SecurityError

MAX_CHARACTERS = 1_000_000  # of a rendered template
MAX_STEPS = 200_000  # loop rounds, calls, values in a printed list: about a second
MAX_SECONDS = 20.0


class OverBudget(SecurityError):
    """A template does too much; unlike jinja2's own errors, the message never holds a value."""


class MisuseError(Exception):
    """A template does what makes no prompt, such as printing a function; the message never holds a value."""


class Budget:
    """What one rendering may still spend."""

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.characters = 4 * MAX_CHARACTERS  # a captured block is printed twice
        self.deadline = time.monotonic() + MAX_SECONDS

    def step(self, value: object = None) -> None:
        """One round or call; on a long value it costs more, since it takes longer."""
        self.steps -= 1 + (len(value) // 1000 if isinstance(value, str | list | tuple | dict | range) else 0)
        if self.steps < 0:
            raise OverBudget(f"it takes more than {MAX_STEPS} steps")
        if time.monotonic() > self.deadline:
            raise OverBudget(f"it takes more than {MAX_SECONDS:.0f} seconds")

    def spend(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise OverBudget(f"it makes more than {MAX_CHARACTERS} characters")

    def text(self, value: object) -> str:
        """`str(value)`, paid for before it is made."""
        if not isinstance(value, str):
            self.measure(value)
            value = str(value)
        self.spend(len(value))
        return value

    def measure(self, value: object) -> None:
        """Pay for every value in a list or mapping: a short template can nest one into 2**40."""
        self.step()
        if isinstance(value, Mapping):
            for key, item in value.items():
                self.measure(key)
                self.measure(item)
        elif isinstance(value, list | tuple):
            for item in value:
                self.measure(item)
        elif isinstance(value, str):
            self.spend(len(value))
        else:
            _require_printable(value)


def _require_printable(value: object) -> None:
    """MisuseError for what Python would print as `<function ...>`, or as the b'...' of its own source."""
    if isinstance(value, Undefined):
        return  # whatever is done with it raises jinja2's own error
    if isinstance(value, bytes):
        raise MisuseError("the template prints binary data: store that column as text")
    if isinstance(value, Iterator | KeysView | ItemsView | ValuesView | range):
        raise MisuseError("the template prints a sequence that is no list: put | list or | join behind it")
    if callable(value) or type(value).__module__.startswith("jinja2"):
        raise MisuseError("the template prints a function, not a value: call it")


budget: ContextVar[Budget] = ContextVar("budget")
