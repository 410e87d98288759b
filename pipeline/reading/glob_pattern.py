"""Globs as fsspec understands them: `*`, `?`, `[...]` within one name, and `**` for any number of folders."""

import glob
import re

from fsspec.utils import glob_translate


class GlobPattern:
    """`base` is the folder below which all that matches lies; ValueError for a pattern that is none."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        parts = pattern.split("/")
        fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
        self.base = "/".join(parts[:fixed])
        self._whole = re.compile(glob_translate(pattern))
        self.below = parts[fixed:]
        self.any_depth = "**" in self.below
        self._parts = [None if part == "**" else re.compile(glob_translate(part)) for part in self.below]

    def matches(self, path: str) -> bool:
        return bool(self._whole.match(path))

    def leads_through(self, folder: str) -> bool:
        """Whether something in this folder, which is `base` or lies below it, may match."""
        return bool(self.positions(folder))

    def positions(self, folder: str) -> frozenset[int]:
        """The parts of the pattern that names in this folder are compared with, by their places in `below`.

        A pattern with `**` may have several. Folders with the same ones match alike in all that they hold.
        """
        inner = folder.removeprefix(self.base).strip("/")
        here = self._without_any_depth({0})
        for name in inner.split("/") if inner else ():
            here = self._without_any_depth({past for at in here for past in self._past(at, name)})
        return here

    def _past(self, at: int, name: str) -> tuple[int, ...]:
        """Where one of the parts leads with a folder of this name: it stays at `**`."""
        part = self._parts[at]
        if part is None:
            return (at,)
        return (at + 1,) if part.match(name) else ()

    def _without_any_depth(self, positions: set[int]) -> frozenset[int]:
        """These, and those behind a `**`, which may stand for no folder; none behind the pattern's end."""
        found = set(positions)
        for at, part in enumerate(self._parts):
            if part is None and at in found:
                found.add(at + 1)
        return frozenset(found - {len(self._parts)})
