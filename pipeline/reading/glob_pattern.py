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
        self.below = below = parts[fixed:]
        self.any_depth = "**" in below
        if self.any_depth:
            below = below[: below.index("**") + 1]
        self._parts = [re.compile(glob_translate(part)) for part in below]

    def matches(self, path: str) -> bool:
        return bool(self._whole.match(path))

    def leads_through(self, folder: str) -> bool:
        """Whether something in this folder below `base` may match."""
        names = folder.removeprefix(f"{self.base}/").split("/")
        if self.any_depth:
            names = names[: len(self._parts)]
        elif len(names) >= len(self._parts):
            return False
        return all(part.match(name) for part, name in zip(self._parts, names, strict=False))
