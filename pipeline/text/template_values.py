"""The values that templates work on: which hold others, how long their text is, which have none."""

from collections.abc import Collection, ItemsView, Iterator, KeysView, ValuesView
from types import NoneType

from jinja2 import Undefined

LEAVES = frozenset({str, int, float, bool, NoneType})  # the usual values that hold no others
SIZED = frozenset({str, list, tuple, dict, range})
MAX_BITS = 1024  # of an integer that a template makes
_HASHED_ALIKE = 2**61 - 1  # an integer and the same plus this have one hash


class MisuseError(Exception):
    """A template does what makes no prompt, such as printing a function; the message never holds a value."""


def inner_values(value: object, printed: bool) -> Collection[object] | None:
    """What holds the values within a value; None if there are none, or if printing would not show them."""
    if isinstance(value, list | tuple | dict):
        return value
    return value if isinstance(value, KeysView | ItemsView | ValuesView) and not printed else None


def may_collide(key: object) -> bool:
    """Whether somebody can choose many such keys with one hash; of texts nobody knows the hash."""
    if isinstance(key, int):
        return not -_HASHED_ALIKE < key < _HASHED_ALIKE
    return not isinstance(key, str | bytes | float | NoneType)


def text_size(value: object) -> int:
    """About how many characters the text of a value without inner values has, with what stands around it."""
    if isinstance(value, str | bytes):
        return len(value) + 4
    if isinstance(value, int):
        return 8 + value.bit_length() // 3
    return 32


def require_printable(value: object) -> None:
    """MisuseError for what Python would print as `<function ...>`, or as the b'...' of its own source."""
    if type(value) in LEAVES or isinstance(value, Undefined):
        return  # whatever is done with an Undefined raises jinja2's own error
    if isinstance(value, bytes):
        raise MisuseError("the template prints binary data: store that column as text")
    if isinstance(value, Iterator | KeysView | ItemsView | ValuesView | range):
        raise MisuseError("the template prints a sequence that is no list: put | list or | join behind it")
    if callable(value) or type(value).__module__.startswith("jinja2"):
        raise MisuseError("the template prints a function, not a value: call it")
