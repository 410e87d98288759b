"""Which files a job reads: `input.path` expanded to a sorted list, and what is not taken."""

import errno
import os
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, cast

from fsspec.implementations.local import LocalFileSystem

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, shown
from pipeline.reading.etags import etag
from pipeline.reading.formats import Format, format_by_name
from pipeline.reading.listing import Listed, NothingFound, list_path
from pipeline.reading.not_taken import NotTaken, PassedOver, Reason
from pipeline.reading.other_formats import how_to_convert
from pipeline.reading.partitions import is_partition
from pipeline.reading.sift import sift
from pipeline.storage.credentials import named

_FOR_GOOD = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG, errno.ELOOP)


@dataclass(frozen=True)
class InputFile:
    file: str  # path or URL to open
    name: str  # relative to the common folder of the input: what users see
    etag: str  # see `pipeline.reading.etags`
    size: int  # bytes as stored
    format: Format


@dataclass(frozen=True)
class FoundInput:
    files: list[InputFile]  # sorted by name
    not_taken: NotTaken


def expand(section: InputSection, planned: Collection[str] = ()) -> FoundInput:
    """All files of `input.path`, each real file once; ConfigError names what cannot be listed or read.

    Of a file's names those of `planned`, of a job that has begun, are kept; else one without links, or the
    first. With `input.allow_empty` a path may have no files, and the names of the others' files are those
    that they will have when it has some.
    """
    try:
        return _expand(section, planned)
    except OSError as error:
        if error.errno not in _FOR_GOOD:
            raise
        where = f"{named(str(error.filename))}: " if error.filename else ""
        why = error.strerror or os.strerror(error.errno)  # a store's own words, where it refused
        what = f"no permission to read it ({why})" if isinstance(error, PermissionError) else why
        raise ConfigError(f"input.path: {where}{what}") from None


def _expand(section: InputSection, planned: Collection[str]) -> FoundInput:
    found: dict[str, Listed] = {}
    passed_over: list[PassedOver] = []
    bases: list[list[str]] = []
    for path in section.path:
        try:
            listing = list_path(path)
            taken, others = sift(listing, path, section.format)
            base = listing.base
        except NothingFound as nothing:
            if not section.allow_empty:
                raise
            taken, others, base = [], nothing.passed_over, nothing.base
        found |= {file.url: file for file in taken}
        passed_over += others
        bases.append(base.split("/"))
    names = _Names(bases)
    by_name = {names.of(file.url): file for file in found.values()}
    by_name |= {name: file for name in planned if name not in by_name and (file := names.local_file(name))}
    files, twice = _once(by_name, planned)
    return FoundInput(
        [_input_file(name, files[name], section.format) for name in sorted(files)],
        NotTaken.of([*_reasons(passed_over, names), *twice]),
    )


class _Names:
    """Names of files relative to the folder that all of `input.path` share."""

    def __init__(self, bases: list[list[str]]) -> None:
        shared = _without_partitions(bases[0], _common_folder(bases))
        self._common, self._folder = shared, "/".join(bases[0][:shared])

    def of(self, url: str) -> str:
        return "/".join(url.split("/")[self._common :])

    def local_file(self, name: str) -> Listed | None:
        """The file of a name that no listing found: a planned file may have got another name besides."""
        folder = self._folder.removeprefix("file://")
        if folder == self._folder:
            return None
        try:
            listing = list_path(f"{folder}/{name}")
        except ConfigError:
            return None
        return listing.files[0] if listing.is_file else None


def _once(
    found: dict[str, Listed], planned: Collection[str]
) -> tuple[dict[str, Listed], list[tuple[Reason, str]]]:
    """Each real file under one name, or under all that are planned; and the other names."""
    kept: dict[str, str] = {}  # names by real path
    files: dict[str, Listed] = {}
    twice: list[tuple[Reason, str]] = []
    by_rank = sorted(
        (name not in planned, file.linked, file.path != file.real, name) for name, file in found.items()
    )
    for *_, name in by_rank:
        first = kept.setdefault(found[name].real, name)
        if first == name or name in planned:
            files[name] = found[name]
        else:
            twice.append((Reason.TWICE, f"{name} (read as {first})"))
    return files, twice


def _reasons(passed_over: list[PassedOver], names: _Names) -> Iterator[tuple[Reason, str]]:
    for one in passed_over:
        name = names.of(one.path) or one.path.removeprefix("file://")
        yield one.reason, f"{name} (read as {names.of(one.instead)})" if one.instead else name


def _input_file(name: str, found: Listed, format: str) -> InputFile:
    file = found.url.removeprefix("file://")
    try:
        file.encode()
    except UnicodeEncodeError:
        raise ConfigError(
            f"input.path: {shown(file)}: its name is not UTF-8; rename it, or name others by a glob"
        ) from None
    info: dict[str, Any] = LocalFileSystem().info(found.path) if found.info is None else found.info
    return InputFile(file, name, etag(info), int(info["size"]), _format(name, format))


def _format(name: str, format: str) -> Format:
    if format != "auto":
        return cast(Format, format)
    by_name = format_by_name(name)
    if by_name is None:
        if hint := how_to_convert(name):
            raise ConfigError(f"input.path: {shown(name)}: {hint}")
        what = "the name does not tell the format; say input.format: jsonl or parquet"
        raise ConfigError(f"input.path: {shown(name)}: {what}")
    return by_name


def _common_folder(bases: list[list[str]]) -> int:
    """How many leading parts all paths have in common."""
    shared = 0
    for parts in zip(*bases, strict=False):
        if len(set(parts)) > 1:
            break
        shared += 1
    return shared


def _without_partitions(folder: list[str], parts: int) -> int:
    """How many of the first parts are no partitions at the folder's end, whose columns the names keep."""
    while parts and is_partition(folder[parts - 1]):
        parts -= 1
    return parts
