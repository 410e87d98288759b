"""What one rendering of a template may cost: steps, memory, characters and, as the last resort, seconds.

Everything pays before it is done, and is counted rather than timed, so that a row fails on every machine or
on none. A step is work of about a microsecond at most.
"""

import time
from collections.abc import Iterator
from contextvars import ContextVar
from itertools import chain
from typing import Any

from jinja2.exceptions import SecurityError

from pipeline.text.template_values import LEAVES, SIZED, inner_values, require_printable, text_size

MAX_CHARACTERS = 1_000_000  # of a rendered template
MAX_STEPS = 1_500_000
MAX_MEMORY = 128 << 20  # bytes of all lists and texts that a template makes, kept or not
MAX_DEPTH = 250  # of values within values; those of a row nest 200 deep at most
MAX_CALLS = 80  # of macros and loops within each other
MAX_SECONDS = 20.0  # of processor time
PLACE = 80  # bytes of a short value and its place in a list
_STEPS_BETWEEN_LOOKS = 20_000  # at the clock


class OverBudget(SecurityError):
    """A template does too much; unlike jinja2's own errors, the message never holds a value."""


class Budget:
    """What one rendering may still spend."""

    __slots__ = ("_deadline", "_look_below", "calls", "characters", "memory", "steps")

    def __init__(self) -> None:
        self.steps = MAX_STEPS
        self.memory = MAX_MEMORY
        self.characters = 4 * MAX_CHARACTERS  # a captured block is printed twice
        self.calls = 0
        self._look_below = MAX_STEPS - _STEPS_BETWEEN_LOOKS
        self._deadline = time.thread_time() + MAX_SECONDS

    def work(self, steps: int) -> None:
        self.steps -= steps
        if self.steps < self._look_below:
            if self.steps < 0:
                raise OverBudget(f"it takes more than {MAX_STEPS} steps")
            if time.thread_time() > self._deadline:
                raise OverBudget(f"it takes more than {MAX_SECONDS:.0f} seconds of processor time")
            self._look_below = max(0, self.steps - _STEPS_BETWEEN_LOOKS)

    def keep(self, size: int) -> None:
        """`size` in bytes; a template never gets them back."""
        self.memory -= size
        if self.memory < 0:
            raise OverBudget(f"its values take more than {MAX_MEMORY >> 20} MB")

    def keep_text(self, characters: int, like: str) -> None:
        """A text of so many characters as those of `like`, or their work and memory."""
        self.work(1 + (characters >> 8))
        self.keep(characters if like.isascii() else 4 * characters)

    def keep_longer(self, made: str, than: str) -> None:
        """A text in another case, of which `than` is paid: of some letters it makes two or three."""
        self.keep(4 * max(0, len(made) - len(than)))

    def keep_items(self, items: int, size: int = 8) -> None:
        """A list of so many values, which take `size` bytes each."""
        self.work(1 + (items >> 4))
        self.keep(64 + items * size)

    def spend(self, characters: int) -> None:
        self.characters -= characters
        if self.characters < 0:
            raise OverBudget(f"it makes more than {MAX_CHARACTERS} characters")

    def weigh(self, value: object) -> None:
        """Pay for all values within a value, once for each way to reach them: so comparing goes about it.

        A short template nests one list into 2**40.
        """
        kind = type(value)
        if kind is str:
            self.work(1 + (len(value) >> 8))  # type: ignore[arg-type]
        elif kind in LEAVES:
            self.work(1)
        else:
            self._walk(value, printed=False, indent=0)

    def print(self, value: object, indent: int = 0) -> int:
        """Pay for the text of a value before it is made; about how long it will be."""
        size = self._walk(value, printed=True, indent=indent)
        self.spend(size)
        return size

    def text(self, value: object) -> str:
        """`str(value)` for the rendered text."""
        if type(value) is str:
            self.spend(len(value))
            return value
        size = self.print(value)
        made = str(value)
        self.spend(max(0, len(made) - size))
        return made

    def as_text(self, value: object) -> str:
        """`str(value)` for a filter that makes another text of it."""
        made = value if isinstance(value, str) else self.text(value)
        self.keep_text(len(made), like=made)
        return made

    def listed(self, value: Any) -> Any:
        """A value that has a length as it is, the rest of an iterator as a list."""
        if type(value) in SIZED or not isinstance(value, Iterator):
            return value
        items = []
        for item in value:
            self.work(1)
            self.keep(PLACE)
            items.append(item)
        return items

    def _walk(self, value: object, printed: bool, indent: int) -> int:
        size = 0
        open_values: list[Iterator[object]] = [iter((value,))]
        while open_values:
            for item in open_values[-1]:
                inner = None if type(item) in LEAVES else inner_values(item, printed)
                if inner is not None:
                    items = 2 * len(inner) if isinstance(inner, dict) else len(inner)
                    self.work(4 + (items << 1 if indent else items))
                    depth = len(open_values)
                    if depth > MAX_DEPTH:
                        raise OverBudget(f"it nests values more than {MAX_DEPTH} deep")
                    size += 2 + indent * depth * (items + 1)
                    open_values.append(
                        chain.from_iterable(inner.items()) if isinstance(inner, dict) else iter(inner)
                    )
                    break
                if printed:
                    require_printable(item)
                    size += text_size(item)
                if isinstance(item, str | bytes) and len(item) > 255:
                    self.work(len(item) >> 8)
            else:
                open_values.pop()
            if printed and size > self.characters:
                self.spend(size)
        return size


budget: ContextVar[Budget] = ContextVar("budget")
