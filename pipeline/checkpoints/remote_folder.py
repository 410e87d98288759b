"""A checkpoint at an fsspec URL, fetched file by file into a folder of the user's cache.

Several processes may ask at once: one downloads, the others wait. The cache is `$MIXTRAY_CACHE`, or
`mixtray` in the user's cache folder, and holds one folder for each URL and state of its files.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.checkpoints.located import Located, judging_files
from pipeline.checkpoints.streamed import RemoteWeights
from pipeline.errors import ConfigError, job_error
from pipeline.reading.etags import etag
from pipeline.storage.credentials import redact
from pipeline.storage.failures import describe, is_of_this_machine
from pipeline.storage.retries import with_retries
from pipeline.storage.urls import filesystem


def locate_remote_folder(url: str) -> Located:
    """The checkpoint at an fsspec URL; ConfigError if it can't be listed."""
    try:
        fs, remote = filesystem(url)
    except ConfigError as error:
        raise ConfigError(f"model.path: {error}") from None
    try:
        found = with_retries(partial(fs.ls, remote, detail=True), redact(url))
    except FileNotFoundError:
        raise ConfigError(f"model.path: {redact(url)}: no such folder") from None
    except OSError as error:
        raise job_error(error, "model.path") from None
    except Exception as error:
        raise ConfigError(f"model.path: {redact(url)}: cannot be listed ({describe(error)})") from None
    entries = [entry for entry in found if entry["type"] == "file"]
    files = {PurePosixPath(entry["name"]).name: entry for entry in entries}
    judging = judging_files(files)
    tags = "".join(
        f"|{name}|{etag(entry)}"
        for name, entry in sorted(files.items())
        if name in judging or name.endswith(".safetensors")
    )
    key = hashlib.sha256((redact(url) + tags).encode()).hexdigest()[:32]
    target = Path(os.environ.get("MIXTRAY_CACHE") or _user_cache() / "mixtray") / "checkpoints" / key

    def fetch(weights: Sequence[str]) -> Path:
        _download(fs, [files[name] for name in (*judging, *weights)], target, redact(url))
        return target

    def stream(weights: Sequence[str]) -> RemoteWeights:
        sizes = {name: int(files[name]["size"]) for name in weights}
        return RemoteWeights(url, [*files], sizes, {name: etag(files[name]) for name in weights})

    return Located(redact(url), url, fetch([]), [*files], fetch, stream)


def _download(fs: Any, entries: Sequence[dict[str, Any]], target: Path, url: str) -> None:
    """Fetch the files that are missing; a file that is there is whole."""
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise job_error(error, "model.path: the cache, to be set by MIXTRAY_CACHE") from None
    with _locked(target.with_suffix(".lock")):
        missing = [entry for entry in entries if not _local(target, entry).exists()]
        for entry in missing:  # what broke off takes room
            _part(_local(target, entry)).unlink(missing_ok=True)
        _require_space(sum(entry["size"] or 0 for entry in missing), target, url)
        for entry in missing:
            local = _local(target, entry)
            part = _part(local)
            try:
                with_retries(partial(fs.get_file, entry["name"], str(part)), redact(entry["name"]))
            except OSError as error:
                if is_of_this_machine(error):  # such as a full disk
                    error.filename = str(part)
                raise
            size = part.stat().st_size
            if size != entry["size"]:
                raise OSError(f"{local.name}: {size} bytes came, {entry['size']} were announced")
            part.rename(local)


def _local(target: Path, entry: dict[str, Any]) -> Path:
    return target / PurePosixPath(entry["name"]).name


def _part(local: Path) -> Path:
    return local.with_name(f"{local.name}.part")


def _require_space(size: int, target: Path, url: str) -> None:
    free = shutil.disk_usage(target).free
    if size > free:
        raise ConfigError(
            f"model.path: {url}: {size / 1e9:,.1f} GB are to be fetched into {target}, where "
            f"{free / 1e9:,.1f} GB are free: set MIXTRAY_CACHE to a folder on a larger "
            "disk, or model.fetch to stream"
        )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _user_cache() -> Path:
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
    except RuntimeError:
        raise ConfigError(
            "model.path: this user has no home folder for its cache: set MIXTRAY_CACHE to a folder"
        ) from None
