"""Where a checkpoint's weight files lie, and how ranges of them are read.

The configuration always lies in a folder of this machine. Weights may be read from elsewhere: callers then
give a `WeightFolder` of their own, and this room knows no URLs.
"""

import os
from collections.abc import Collection
from pathlib import Path
from typing import Protocol


class WeightFile(Protocol):
    """A file whose ranges several threads may read at once."""

    @property
    def name(self) -> str:
        """As messages call it: its whole path or URL."""
        ...

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill the buffer with the bytes from `start` on; OSError if they end before."""
        ...

    def close(self) -> None: ...


class WeightFolder(Protocol):
    """It can be pickled: each rank of a replica opens the files for itself."""

    @property
    def names(self) -> Collection[str]:
        """Of all files of the checkpoint."""
        ...

    def open(self, name: str) -> WeightFile:
        """One of these files; OSError if it can't be opened."""
        ...


class LocalFile:
    """A WeightFile on a disk."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115
        self.size = os.fstat(self._file.fileno()).st_size

    def read_into(self, buffer: memoryview, start: int) -> None:
        while len(buffer):
            count = os.preadv(self._file.fileno(), [buffer], start)
            if not count:
                raise OSError(f"{self.name}: ends at byte {start}, before the tensors that its header names")
            buffer, start = buffer[count:], start + count

    def close(self) -> None:
        self._file.close()


class LocalFolder:
    """A WeightFolder on a disk."""

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self._folder.iterdir()]

    def open(self, name: str) -> LocalFile:
        return LocalFile(self._folder / name)
