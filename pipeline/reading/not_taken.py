"""What a listing of the input did not take, and why, so that nothing is dropped without a word."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice

from pipeline.errors import shown
from pipeline.reading.formats import format_by_name

_MOST_NAMED = 3
# What programs leave beside data, and what never holds any: these go without saying.
_WELL_KNOWN = re.compile(
    r"_SUCCESS(-\d{3,})?(\.crc)?|_(common_)?metadata|_(committed|started)_.*|\.DS_Store|\._.*|\..*\.crc"
    r"|\.git|\.git(attributes|ignore|keep|modules)|\.keep"
)


class Reason(StrEnum):
    HIDDEN = "hidden, by a name that begins with . or _"
    ENDING = "of another ending than those that are read"
    FORMAT = "not of input.format"
    DESCRIBES = "describes a data set and holds no rows"
    NOWHERE = "a link to nothing"
    LOOP = "a link back to a folder above it"
    TWICE = "a second name of what is read once"
    NO_FILE = "no regular file"
    OUTPUT = "the output of a job, whose generations/ can be read if it is named itself"
    NOT_ENTERED = "a folder, which this glob names but does not enter"


@dataclass(frozen=True)
class PassedOver:
    """One file or folder that is not taken."""

    reason: Reason
    path: str  # its URL, or its path on its filesystem
    instead: str | None = None  # the path under which it is read


@dataclass(frozen=True)
class NotTaken:
    """The names of all that was not taken; false if that is nothing."""

    names: tuple[tuple[Reason, tuple[str, ...]], ...] = ()

    @staticmethod
    def of(reasons: Iterable[tuple[Reason, str]]) -> "NotTaken":
        found: dict[Reason, dict[str, None]] = {}
        for reason, name in reasons:
            if reason is Reason.HIDDEN and _goes_without_saying(name):
                continue
            found.setdefault(reason, {})[name] = None
        return NotTaken(tuple((reason, tuple(sorted(found[reason]))) for reason in Reason if reason in found))

    def __bool__(self) -> bool:
        return bool(self.names)

    def __str__(self) -> str:
        """Each reason with its count and the first names, in one line."""
        return "; ".join(f"{_some(names)}: {reason}" for reason, names in self.names)


def _goes_without_saying(path: str) -> bool:
    """No file with an ending of data does, and of folders only git's own."""
    name = path.removesuffix("/").rpartition("/")[2]
    if path.endswith("/"):
        return name == ".git"
    return bool(_WELL_KNOWN.fullmatch(name)) and format_by_name(name) is None


def _some(names: tuple[str, ...]) -> str:
    first = ", ".join(map(shown, islice(names, _MOST_NAMED)))
    return first if len(names) <= _MOST_NAMED else f"{first} and {len(names) - _MOST_NAMED:,} more"
