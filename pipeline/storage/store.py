"""The output folder, on a local disk or an object store, with one promise: create-if-absent is atomic.

Everything that makes a job exactly-once rests on `Store.create`: of all who create one name, one wins,
and what can be listed is complete. S3 and GCS do it with a conditional put; a local disk with a hard link.
Nothing here deletes what a job has written.
"""

import contextlib
import os
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipeline.errors import ConfigError
from pipeline.storage.retries import describe, open_patiently, patiently
from pipeline.storage.urls import filesystem, redact

CONDITIONAL_PUT = ("s3", "s3a", "gs", "gcs", "memory")  # where mode="create" is known to be atomic
_memory_lock = threading.Lock()  # memory:// looks before it writes; a lock makes that one step


class Store(ABC):
    """A folder of immutable files. Paths are relative to it, with `/`; a Store can be pickled."""

    def __init__(self, root: str) -> None:
        self.root = root

    @staticmethod
    def open(url: str | Path) -> "Store":
        """The store at a local path or an fsspec URL (s3://, gs://); nothing is touched yet."""
        url = str(url)
        protocol = url.partition("://")[0] if "://" in url else "file"
        if protocol in ("file", "local"):
            return LocalStore(url.partition("://")[2] or url)
        if protocol not in CONDITIONAL_PUT or "::" in url:
            raise ConfigError(
                f"output.path: {redact(url)}: no atomic create is known for this kind of store, and without "
                "it rows could be doubled; write to a local folder, s3:// or gs://"
            )
        return ObjectStore(url)

    @abstractmethod
    def create(self, path: str, data: bytes) -> bool:
        """Create `path` atomically; False if it exists already (perhaps our own, its answer lost)."""

    @abstractmethod
    def replace(self, path: str, data: bytes) -> None:
        """Create or overwrite a derived file, one that can be computed again from the committed ones."""

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

        `folder` does not end with a slash.
        `cuts` are names in order, thousands of files apart: a store that gives a long list in pieces may ask
        for what lies between them side by side. They change nothing else.
        """

    @abstractmethod
    def probe(self) -> None:
        """Try the promise out before a job rests on it: ConfigError if the store cannot keep it."""

    def url(self, path: str = "") -> str:
        """Where `path` is, for people and for other readers."""
        return f"{redact(self.root)}/{path}".rstrip("/")


class LocalStore(Store):
    """Write to `_job/tmp`, which no reader lists, then link to the final name: a link never overwrites."""

    def __init__(self, root: str) -> None:
        super().__init__(os.path.abspath(os.path.expanduser(root)))

    def create(self, path: str, data: bytes) -> bool:
        target = self._target(path)
        temporary = self._write_temporary(data)
        try:
            os.link(temporary, target)
            created = True
        except FileExistsError:
            created = False
        finally:
            temporary.unlink()
        _sync_folder(target.parent)  # also when another made it: whoever hears "exists" will rely on it
        return created

    def replace(self, path: str, data: bytes) -> None:
        target = self._target(path)
        os.replace(self._write_temporary(data), target)
        _sync_folder(target.parent)

    def read(self, path: str) -> bytes:
        return Path(self.root, path).read_bytes()

    def open_file(self, path: str) -> BinaryIO:
        return open(Path(self.root, path), "rb")

    def exists(self, path: str) -> bool:
        return Path(self.root, path).is_file()

    def list(self, folder: str, cuts: Sequence[str] = ()) -> list[str]:
        try:
            with os.scandir(Path(self.root, folder)) as entries:
                return sorted(f"{folder}/{entry.name}" for entry in entries if entry.is_file())
        except FileNotFoundError:
            return []

    def probe(self) -> None:
        path = f"_job/probe-{uuid.uuid4().hex}"
        try:
            answers = self.create(path, b"mixtray"), self.create(path, b"mixtray")
            os.unlink(Path(self.root, path))
        except OSError as error:
            raise ConfigError(
                f"output.path: {self.root}: cannot create files with hard links here "
                f"({error.strerror or error}); choose a folder on a local or NFS disk you can write to"
            ) from error
        _expect_refusal(self, answers)

    def _target(self, path: str) -> Path:
        target = Path(self.root, path)
        _make_folder(target.parent)
        return target

    def _write_temporary(self, data: bytes) -> Path:
        folder = Path(self.root, "_job/tmp")
        _make_folder(folder)
        temporary = folder / uuid.uuid4().hex
        try:
            with open(temporary, "xb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        return temporary


class ObjectStore(Store):
    """A store that fsspec reaches: a conditional put commits, transient failures are waited out."""

    def __init__(self, root: str) -> None:
        super().__init__(root.rstrip("/"))
        self._fs, self._path = filesystem(self.root)
        self._in_memory = root.startswith("memory://")

    def __reduce__(self) -> tuple[type["ObjectStore"], tuple[str]]:
        return ObjectStore, (self.root,)

    def create(self, path: str, data: bytes) -> bool:
        def put() -> bool:
            with _memory_lock if self._in_memory else contextlib.nullcontext():
                self._fs.pipe_file(self._full(path), data, mode="create")
            return True

        try:
            return patiently(put, self.url(path))
        except FileExistsError:
            return False

    def replace(self, path: str, data: bytes) -> None:
        patiently(lambda: self._fs.pipe_file(self._full(path), data), self.url(path))

    def read(self, path: str) -> bytes:
        return bytes(patiently(lambda: self._fs.cat_file(self._full(path)), self.url(path)))

    def open_file(self, path: str) -> BinaryIO:
        return open_patiently(self._fs, self._full(path), self.url(path))

    def exists(self, path: str) -> bool:
        try:
            info = patiently(lambda: self._fs.info(self._full(path)), self.url(path))
        except FileNotFoundError:
            return False
        return bool(info["type"] == "file")

    def list(self, folder: str, cuts: Sequence[str] = ()) -> list[str]:
        try:
            names = patiently(lambda: self._names(self._full(folder), cuts), self.url(folder))
        except FileNotFoundError:
            return []
        return sorted(f"{folder}/{name}" for name in names)

    def probe(self) -> None:
        # One fixed name, since a job may have no right to delete: the second answer is what counts.
        try:
            answers = self.create("_job/probe", b"mixtray"), self.create("_job/probe", b"mixtray")
        except Exception as error:
            raise ConfigError(
                f"output.path: {self.url()}: cannot write there ({describe(error)}); "
                "check that the bucket exists and that the credentials may put and list"
            ) from None
        _expect_refusal(self, (True, answers[1]))

    def _names(self, folder: str, cuts: Sequence[str]) -> Sequence[str]:
        names: Sequence[str]
        if self._in_memory:
            entries = self._fs.ls(folder, detail=True)
            names = [PurePosixPath(entry["name"]).name for entry in entries if entry["type"] == "file"]
        else:
            names = self._fs.names(folder, cuts)
        return names

    def _full(self, path: str) -> str:
        return f"{self._path}/{path}"


def _expect_refusal(store: Store, answers: tuple[bool, bool]) -> None:
    if answers != (True, False):
        raise ConfigError(
            f"output.path: {store.url()}: this store let one file be created twice, so two runs could double "
            "rows; use a local folder, or an object store with conditional puts (If-None-Match)"
        )


def _make_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
