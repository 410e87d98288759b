"""A store in a local folder, where a hard link is the atomic create."""

import contextlib
import os
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from pipeline.errors import ConfigError
from pipeline.storage.store import Store, require_one_winner


class LocalStore(Store):
    """Writes to `_job/tmp`, which no reader lists, then links to the final name: a link never overwrites."""

    def __init__(self, root: str) -> None:
        expanded = os.path.expanduser(root)
        if expanded.startswith("~"):
            raise ConfigError(f"output.path: {root}: there is no such home folder here: write the whole path")
        super().__init__(os.path.abspath(expanded))

    def create(self, path: str, data: bytes) -> bool:
        target = self._target(path)
        temporary = self._write_temporary(data)
        try:
            created = _link(temporary, target)
        finally:
            temporary.unlink()
        _sync_folder(target.parent)  # on False too: the caller then relies on the file
        return created

    def replace(self, path: str, data: bytes) -> None:
        target = self._target(path)
        os.replace(self._write_temporary(data), target)
        _sync_folder(target.parent)

    def read(self, path: str) -> bytes:
        try:
            return Path(self.root, path).read_bytes()
        except NotADirectoryError as error:
            raise self._no_folder() from error

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
        except NotADirectoryError as error:
            raise self._no_folder() from error

    def probe(self) -> None:
        """Tried in the innermost folder that exists: a job that is refused leaves no folder behind."""
        folder = Path(self.root, "_job")
        while not os.path.lexists(folder):
            folder = folder.parent
        name = f".mixtray-probe-{uuid.uuid4().hex}"
        source, target = folder / name, folder / f"{name}-linked"
        try:
            _write(source, b"mixtray")
            try:
                answers = _link(source, target), _link(source, target)
                target.unlink()
            finally:
                source.unlink()
        except OSError as error:
            raise ConfigError(
                f"output.path: {self.root}: cannot create files with hard links here "
                f"({error.strerror or error}); choose a folder on a local or NFS disk you can write to"
            ) from error
        require_one_winner(self, answers)

    def _no_folder(self) -> ConfigError:
        return ConfigError(f"output.path: {self.root}: a file lies where a folder should be")

    def _target(self, path: str) -> Path:
        target = Path(self.root, path)
        _make_folder(target.parent)
        return target

    def _write_temporary(self, data: bytes) -> Path:
        folder = Path(self.root, "_job/tmp")
        _make_folder(folder)
        temporary = folder / uuid.uuid4().hex
        _write(temporary, data)
        return temporary


def _write(new: Path, data: bytes) -> None:
    """Durably; what could not be written whole is removed. An OSError names the file."""
    try:
        with open(new, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink()
        error.filename = error.filename or str(new)  # a write's error has none
        raise


def _link(source: Path, target: Path) -> bool:
    """False if the target is there already."""
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    return True


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
