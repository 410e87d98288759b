"""The output folder, on a local disk or an object store, with one promise: create-if-absent is atomic.

Everything that makes a job exactly-once rests on `Store.create`: of all processes that create one name, one
succeeds, and a file that a listing shows is complete. Nothing here deletes what a job has written.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import BinaryIO

from pipeline.errors import ConfigError
from pipeline.storage.credentials import redact


class Store(ABC):
    """A folder of immutable files. Paths are relative to it, with `/`; a Store can be pickled."""

    def __init__(self, root: str) -> None:
        self.root = root

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Create `path` atomically; False if it exists (a lost answer can make that our own file)."""

    @abstractmethod
    def replace(self, path: str, data: bytes) -> None:
        """Create or overwrite a derived file: one that can be computed again from the committed ones."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """The bytes of `path`; FileNotFoundError if there is none."""

    @abstractmethod
    def open_file(self, path: str) -> BinaryIO:
        """`path` as a file that can be read in part; FileNotFoundError if there is none."""

    @abstractmethod
    def exists(self, path: str) -> bool: ...

    @abstractmethod
    def list(self, folder: str, cuts: Sequence[str] = ()) -> list[str]:
        """Paths of the files directly in a folder, sorted; empty if there is no such folder.

        `folder` does not end with a slash. `cuts` are sorted names, thousands of files apart: an object
        store requests the ranges between them in parallel. They change nothing else.
        """

    @abstractmethod
    def probe(self) -> None:
        """Test that create-if-absent works here; ConfigError if it does not."""

    def url(self, path: str = "") -> str:
        """The path or URL of `path`, without credentials."""
        return f"{redact(self.root)}/{path}".rstrip("/")


def require_one_winner(store: Store, answers: tuple[bool, bool]) -> None:
    """ConfigError unless, of two creates of one name, the first and only the first succeeded."""
    if answers != (True, False):
        raise ConfigError(
            f"output.path: {store.url()}: this store let one file be created twice, so two runs could double "
            "rows; use a local folder, or an object store with conditional puts (If-None-Match)"
        )
