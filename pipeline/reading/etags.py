"""A file's etag: a tag that changes when the file does."""

import hashlib
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from pipeline.storage.credentials import redact
from pipeline.storage.retries import with_retries
from pipeline.storage.urls import filesystem

HASHED_BYTES = 8 << 20


def file_etag(file: str) -> str:
    """The etag of a file now, by its path or URL."""
    fs, path = filesystem(file)
    return etag(with_retries(partial(fs.info, path), redact(file)))


def etag(info: dict[str, Any]) -> str:
    """The etag in fsspec's info, or else size and modification time.

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
