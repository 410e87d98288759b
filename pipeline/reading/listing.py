"""All files that one of `input.path` names: a file, or those of a folder or glob, whatever they hold."""

import glob
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import ConfigError
from pipeline.reading.glob_pattern import GlobPattern
from pipeline.reading.local_folder import LocalFile, files_below, link_to_nothing
from pipeline.reading.not_taken import PassedOver, Reason
from pipeline.storage.credentials import named, redact
from pipeline.storage.open_store import CONDITIONAL_PUT
from pipeline.storage.retries import with_retries
from pipeline.storage.urls import filesystem

_FOLDERS = (Reason.LOOP, Reason.TWICE, Reason.NOWHERE)  # what could have led to files


@dataclass(frozen=True)
class Listed:
    """A file of the input. Of a local one nothing is known yet but its name, so `info` is None."""

    url: str
    path: str  # on its filesystem
    real: str  # the same for all names that links give one local file
    linked: bool = False
    info: dict[str, Any] | None = None


@dataclass(frozen=True)
class Listing:
    """Paths of `passed_over` are URLs too."""

    base: str  # URL of the folder to which the files' names are relative
    files: list[Listed]
    passed_over: list[PassedOver]
    pattern: GlobPattern | None = None
    is_file: bool = False  # one file, named itself
    exists: Callable[[str], bool] = lambda _: False  # whether a job has the file of this URL in its _job


class NothingFound(ConfigError):
    """A path without files."""

    def __init__(self, message: str, base: str, passed_over: list[PassedOver]) -> None:
        super().__init__(message)
        self.base = base  # as `Listing` has it
        self.passed_over = passed_over


def list_path(given: str) -> Listing:
    """NothingFound if nothing has this name; OSError for what may not be listed."""
    if "::" in given and "://" in given:
        raise ConfigError(f"input.path: {named(given)}: chained URLs are not read; unpack the archive first")
    try:
        fs, path = filesystem(given)
    except ConfigError as error:
        raise ConfigError(f"input.path: {error}") from None
    try:
        info = with_retries(partial(fs.info, path), redact(given))
    except (FileNotFoundError, NotADirectoryError):
        info = None
    url_of = _local_url if isinstance(fs, LocalFileSystem) else fs.unstrip_protocol
    if info is not None and info["type"] == "file":
        url = url_of(path)
        real = os.path.realpath(path) if url_of is _local_url else url
        return Listing(url.rpartition("/")[0], [Listed(url, path, real, info=info)], [], is_file=True)
    if info is not None and info["type"] != "directory":
        raise ConfigError(f"input.path: {named(given)}: neither a regular file nor a folder")
    try:
        pattern = GlobPattern(path) if info is None and glob.has_magic(path) else None
    except ValueError as error:
        raise ConfigError(f"input.path: {named(given)}: no glob that can be read: {error}") from error
    base = (pattern.base if pattern else path).rstrip("/")
    link = link_to_nothing(base) if info is None and url_of is _local_url else None
    if link or (info is None and pattern is None):
        why = f": the link {named(link)} leads to nothing" if link else ""
        gone = [PassedOver(Reason.NOWHERE, url_of(link))] if link else []
        raise NothingFound(f"input.path: {named(given)}: no such file or folder{why}", url_of(base), gone)
    found = [*(_local(base, pattern) if url_of is _local_url else _remote(fs, base, pattern, redact(given)))]
    return Listing(
        base=url_of(base),
        files=[one for one in found if isinstance(one, Listed)],
        passed_over=[
            replace(one, path=url_of(one.path), instead=one.instead and url_of(one.instead))
            for one in found
            if isinstance(one, PassedOver)
        ],
        pattern=pattern,
        exists=partial(_exists, fs),
    )


def is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


def _exists(fs: Any, url: str) -> bool:
    """Where a job may write: elsewhere it would be a request for nothing.

    A folder `_job` whose files may not be looked at is one all the same.
    """
    if url.partition("://")[0] not in ("file", *CONDITIONAL_PUT):
        return False
    try:
        return bool(with_retries(partial(fs.info, url), redact(url))["type"] == "file")
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        return _folder_exists(fs, url.rpartition("/")[0])


def _folder_exists(fs: Any, url: str) -> bool:
    """PermissionError if that can't be told either."""
    if isinstance(fs, LocalFileSystem):
        return bool(fs.info(url)["type"] == "directory")
    try:  # a store may answer that a key may not be read where there is none
        return bool(with_retries(partial(fs.ls, url, detail=False), redact(url)))
    except FileNotFoundError:
        return False


def _local_url(path: str) -> str:
    return f"file://{path}"


def _local(base: str, pattern: GlobPattern | None) -> Iterator[Listed | PassedOver]:
    asked = pattern.positions if pattern else lambda _: (0,)
    for one in files_below(base, asked, is_hidden):
        path = one.path.rstrip("/")
        if pattern and not pattern.matches(path):
            on_the_way = one.path != path or (isinstance(one, PassedOver) and one.reason in _FOLDERS)
            if not (on_the_way and pattern.leads_through(path)):
                continue
        yield Listed(_local_url(path), path, one.real, one.linked) if isinstance(one, LocalFile) else one


def _remote(fs: Any, base: str, pattern: GlobPattern | None, url: str) -> Iterator[Listed | PassedOver]:
    look = partial(fs.find, base) if pattern is None else partial(fs.glob, pattern.text)
    infos: dict[str, dict[str, Any]] = with_retries(partial(look, detail=True), url)
    for path, info in infos.items():
        names = path.removeprefix(base).split("/")
        hidden = next((number for number, name in enumerate(names) if is_hidden(name)), None)
        if hidden is not None:
            folder = "/" if hidden < len(names) - 1 or info["type"] == "directory" else ""
            yield PassedOver(Reason.HIDDEN, base + "/".join(names[: hidden + 1]) + folder)
        elif info["type"] == "file" and not path.endswith("/"):  # a key that ends so marks a folder
            address = str(fs.unstrip_protocol(path))
            yield Listed(address, path, address, info=info)
        elif info["type"] not in ("file", "directory"):
            yield PassedOver(Reason.NO_FILE, path)
        elif pattern and not pattern.any_depth:
            yield PassedOver(Reason.NOT_ENTERED, path)
