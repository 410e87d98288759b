"""A store that fsspec reaches (S3, GCS), where a conditional put is the atomic create."""

import contextlib
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any, BinaryIO

from pipeline.errors import ConfigError, JobError
from pipeline.storage.failures import describe
from pipeline.storage.retries import open_with_retries, with_retries
from pipeline.storage.store import Store, require_one_winner
from pipeline.storage.urls import filesystem

# fsspec's memory:// checks for the file and then writes it; a lock makes the two one step.
_memory_lock = threading.Lock()


class ObjectStore(Store):
    """Every request is retried until `pipeline.storage.retries` gives up.

    Its filesystem is opened when it is first used: a process that lacks the package then says so, where an
    error while it unpickles the store would be told as one of Ray.
    """

    def __init__(self, root: str) -> None:
        super().__init__(root.rstrip("/"))
        self._in_memory = root.startswith("memory://")

    @cached_property
    def _opened(self) -> tuple[Any, str]:
        return filesystem(self.root)

    @property
    def _fs(self) -> Any:
        return self._opened[0]

    def open(self) -> None:
        """ConfigError if a package is missing."""
        self._opened  # noqa: B018

    def __reduce__(self) -> tuple[type["ObjectStore"], tuple[str]]:
        return ObjectStore, (self.root,)

    def create(self, path: str, data: bytes) -> bool:
        def put() -> bool:
            with _memory_lock if self._in_memory else contextlib.nullcontext():
                self._fs.pipe_file(self._full(path), data, mode="create")
            return True

        try:
            return with_retries(put, self.url(path))
        except FileExistsError:
            return False

    def replace(self, path: str, data: bytes) -> None:
        with_retries(lambda: self._fs.pipe_file(self._full(path), data), self.url(path))

    def read(self, path: str) -> bytes:
        return bytes(with_retries(lambda: self._fs.cat_file(self._full(path)), self.url(path)))

    def open_file(self, path: str) -> BinaryIO:
        return open_with_retries(self._fs, self._full(path), self.url(path))

    def exists(self, path: str) -> bool:
        try:
            info = with_retries(lambda: self._fs.info(self._full(path)), self.url(path))
        except FileNotFoundError:
            return False
        return bool(info["type"] == "file")

    def list(self, folder: str, cuts: Sequence[str] = ()) -> list[str]:
        try:
            names = with_retries(lambda: self._names(self._full(folder), cuts), self.url(folder))
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{name}" for name in names)

    def probe(self) -> None:
        # One fixed name, since a job may not be permitted to delete. Only the second answer counts.
        try:
            answers = self.create("_job/probe", b"mixtray"), self.create("_job/probe", b"mixtray")
        except TimeoutError as error:
            raise JobError(f"output.path: cannot write there: {error}; run the same command again") from None
        except Exception as error:
            why = getattr(error, "strerror", None) or describe(error)
            raise ConfigError(
                f"output.path: {self.url()}: cannot write there ({why}); "
                "check that the bucket exists and that the credentials may put and list"
            ) from None
        require_one_winner(self, (True, answers[1]))

    def _names(self, folder: str, cuts: Sequence[str]) -> Sequence[str]:
        names: Sequence[str]
        if self._in_memory:
            entries = self._fs.ls(folder, detail=True)
            names = [PurePosixPath(entry["name"]).name for entry in entries if entry["type"] == "file"]
        else:
            names = self._fs.names(folder, cuts)
        return names

    def _full(self, path: str) -> str:
        return f"{self._opened[1]}/{path}"
