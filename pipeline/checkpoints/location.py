"""Where a checkpoint lies: a local folder is used in place, a URL is downloaded once."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from pipeline.checkpoints.contents import require_checkpoint
from pipeline.errors import ConfigError
from pipeline.reading.files import etag
from pipeline.storage.retries import describe, with_retries
from pipeline.storage.urls import filesystem, redact

WANTED = (".safetensors", ".json", ".model", ".jinja", ".v1", ".v2", ".v3")  # weights, configs, tokenizers


def local_checkpoint(path: str) -> Path:
    """The local folder of a checkpoint; an fsspec URL is downloaded once into the user's cache.

    Several processes may ask at once: one downloads, the others wait. The cache is `$MIXTRAY_CACHE`, or
    `mixtray` in the user's cache folder, and holds one folder for each URL and state of its files.
    """
    if "://" not in path or path.startswith("file://"):
        folder = Path(path.removeprefix("file://")).expanduser()
        if not folder.is_dir():
            raise ConfigError(f"model.path: {path}: no such folder")
        require_checkpoint(path, [entry.name for entry in folder.iterdir() if entry.is_file()])
        return folder
    try:
        fs, remote = filesystem(path)
    except (ValueError, ImportError) as error:
        raise ConfigError(f"model.path: {redact(path)}: no such kind of URL can be read: {error}") from error
    try:
        entries = [entry for entry in fs.ls(remote, detail=True) if entry["type"] == "file"]
    except FileNotFoundError:
        raise ConfigError(f"model.path: {redact(path)}: no such folder") from None
    except Exception as error:
        raise ConfigError(f"model.path: {redact(path)}: cannot be listed ({describe(error)})") from None
    files = {PurePosixPath(entry["name"]).name: entry for entry in entries}
    require_checkpoint(path, list(files))
    wanted = {name: entry for name, entry in sorted(files.items()) if name.endswith(WANTED)}
    tags = "".join(f"|{name}|{etag(entry)}" for name, entry in wanted.items())
    key = hashlib.sha256((redact(path) + tags).encode()).hexdigest()[:32]
    cache = Path(os.environ.get("MIXTRAY_CACHE") or _user_cache() / "mixtray") / "checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    target = cache / key
    with _locked(cache / f"{key}.lock"):
        if not target.is_dir():
            _download(fs, wanted, target)
    return target


def _download(fs: Any, files: dict[str, dict[str, Any]], target: Path) -> None:
    temporary = Path(tempfile.mkdtemp(prefix=f"{target.name}.", dir=target.parent))
    try:
        for name, entry in files.items():
            remote, local = entry["name"], str(temporary / name)
            with_retries(partial(fs.get_file, remote, local), remote)
            size = (temporary / name).stat().st_size
            if size != entry["size"]:
                raise OSError(f"{name}: {size} bytes came, {entry['size']} were announced")
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # after the rename there is nothing left to remove


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with open(path, "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
