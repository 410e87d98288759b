"""Which files a job reads: `input.path` expanded to a sorted list, each with an etag."""

import glob
import hashlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError
from pipeline.reading.other_formats import how_to_convert
from pipeline.reading.partitions import is_partition
from pipeline.storage.credentials import redact
from pipeline.storage.retries import with_retries
from pipeline.storage.urls import filesystem

Format = Literal["jsonl", "parquet"]

COMPRESSED: dict[str, Literal["gzip", "zstd"]] = {".gz": "gzip", ".zst": "zstd"}
HASHED_BYTES = 8 << 20
FORMATS: dict[str, Format] = {
    ".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet",
}  # fmt: skip


@dataclass(frozen=True)
class InputFile:
    file: str  # path or URL to open
    name: str  # relative to the common folder of the input: what users see
    etag: str  # see `etag`
    size: int  # bytes as stored
    format: Format


class NothingFound(ConfigError):
    """A path without files."""

    def __init__(self, message: str, base: str) -> None:
        super().__init__(message)
        self.base = base  # as `_expand_one` returns it


def expand(section: InputSection) -> list[InputFile]:
    """All files of `input.path`, sorted by name; NothingFound names a path without files.

    With `input.allow_empty` such a path has none, and the names of the others' files are those that they
    will have when it has some.
    """
    found: dict[str, dict[str, Any]] = {}
    bases: list[list[str]] = []
    for path in section.path:
        try:
            files, base = _expand_one(path, section.format)
        except NothingFound as nothing:
            if not section.allow_empty:
                raise
            files, base = {}, nothing.base
        found |= files
        bases.append(base.split("/"))
    common = _without_partitions(bases[0], _common_folder(bases))
    result = []
    for url, info in found.items():
        name = "/".join(url.split("/")[common:])
        file = url.removeprefix("file://")
        result.append(InputFile(file, name, etag(info), int(info["size"]), _format(name, section.format)))
    return sorted(result, key=lambda file: file.name)


def file_etag(file: str) -> str:
    """The etag of a file now, see `etag`."""
    fs, path = filesystem(file)
    return etag(with_retries(partial(fs.info, path), redact(file)))


def compression(name: str) -> Literal["gzip", "zstd"] | None:
    """How a file is compressed, by its name."""
    return COMPRESSED.get(PurePosixPath(name).suffix)


def format_by_name(name: str) -> Format | None:
    """jsonl or parquet by the name's ending; only that of JSONL may be followed by .gz or .zst."""
    path = PurePosixPath(name)
    if path.suffix in COMPRESSED:
        path = path.with_suffix("")
        return "jsonl" if FORMATS.get(path.suffix) == "jsonl" else None
    return FORMATS.get(path.suffix)


def _expand_one(path: str, format: str) -> tuple[dict[str, dict[str, Any]], str]:
    """fsspec's infos by URL, and the URL of the folder to which the files' names are relative."""
    if "::" in path:
        raise ConfigError(f"input.path: {redact(path)}: chained URLs are not read; unpack the archive first")
    try:
        fs, stripped = filesystem(path)
    except ConfigError as error:
        raise ConfigError(f"input.path: {error}") from None
    try:
        info = with_retries(partial(fs.info, stripped), redact(path))
    except (FileNotFoundError, NotADirectoryError):
        info = None
    except PermissionError as error:
        raise ConfigError(
            f"input.path: {redact(path)}: no permission to read it ({error.strerror})"
        ) from None
    if info is not None and info["type"] == "file":
        url = str(fs.unstrip_protocol(stripped))
        return {url: info}, url.rpartition("/")[0]
    if info is not None:
        base = stripped
        infos = with_retries(partial(fs.find, stripped, detail=True), redact(path))
    elif glob.has_magic(stripped):
        parts = stripped.split("/")
        base = "/".join(parts[: next(i for i, part in enumerate(parts) if glob.has_magic(part))])
        infos = with_retries(partial(fs.glob, stripped, detail=True), redact(path))
    else:
        base = str(fs.unstrip_protocol(stripped.rstrip("/")))
        raise NothingFound(f"input.path: {redact(path)}: no such file or folder", base)
    base = base.rstrip("/")
    files = {
        str(fs.unstrip_protocol(name)): entry
        for name, entry in infos.items()
        if entry["type"] == "file" and not _hidden(name.removeprefix(base))
        and (glob.has_magic(stripped) or _wanted(name, format))
    }  # fmt: skip
    if not files:
        kinds = "*.parquet" if format == "parquet" else "*.jsonl, *.json, *.ndjson (also .gz, .zst)"
        kinds += " or *.parquet" if format == "auto" else ""
        what = f"no {kinds} in this folder" if info is not None else "no file has such a name"
        hints = filter(None, map(how_to_convert, sorted(infos)))
        what += "".join(f"; {hint}" for hint in islice(hints, 1))
        raise NothingFound(f"input.path: {redact(path)}: {what}", str(fs.unstrip_protocol(base)))
    return files, str(fs.unstrip_protocol(base))


def _hidden(path: str) -> bool:
    return any(part.startswith((".", "_")) for part in path.split("/"))


def _wanted(name: str, format: str) -> bool:
    by_name = format_by_name(name)
    return by_name is not None and format in ("auto", by_name)


def _format(name: str, format: str) -> Format:
    if format != "auto":
        return cast(Format, format)
    by_name = format_by_name(name)
    if by_name is None:
        if hint := how_to_convert(name):
            raise ConfigError(f"input.path: {name}: {hint}")
        raise ConfigError(
            f"input.path: {name}: the name does not tell the format; say input.format: jsonl or parquet"
        )
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


def etag(info: dict[str, Any]) -> str:
    """A tag that changes when the file does, from fsspec's info: its etag, or size and modification time.

    A small local file has a hash of its content instead, since `ray job submit --working-dir` unpacks it with
    another modification time on each machine.
    """
    if "ino" in info and info["size"] <= HASHED_BYTES:
        return hashlib.sha256(Path(info["name"]).read_bytes()).hexdigest()
    for key in ("ETag", "etag", "md5Hash"):
        if info.get(key):
            return str(info[key]).strip('"')
    modified = info.get("mtime") or info.get("LastModified") or info.get("created") or ""
    # some filesystems give a datetime from one call and a timestamp from another
    if isinstance(modified, datetime):
        modified = modified.timestamp()
    return f"{info['size']}-{modified}"
