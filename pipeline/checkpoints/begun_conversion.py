"""The target of a conversion until it is done: a log in it says what is converted, and which files are whole.

The log's first line is the identity of what is converted. Each further one names a file that was written,
with the SHA-256 of what it should hold. A line that was cut off says nothing: that file is written again.
"""

import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from pipeline.errors import ConfigError, JobError

_LOG = "converting.json"


class BegunConversion:
    def __init__(self, target: Path, log: TextIO, lines: list[str]) -> None:
        self._target = target
        self._log = log
        self._hashes: dict[str, str] = {}
        for line in lines:
            with suppress(ValueError):
                self._hashes |= json.loads(line)

    def is_whole(self, name: str, size: int) -> bool:
        """Whether the file was written, and holds on the disk what it should hold."""
        file = self._target / name
        if name not in self._hashes or not file.is_file() or file.stat().st_size != size:
            return False
        return _hash_on_disk(file) == self._hashes[name]

    def is_written(self, name: str, sha256: str) -> None:
        self._hashes[name] = sha256
        self._log.write(json.dumps({name: sha256}) + "\n")
        self._log.flush()
        os.fsync(self._log.fileno())


@contextmanager
def begun(target: Path, identity: str) -> Iterator[BegunConversion]:
    """The target, empty or with the beginning of the same conversion, while nobody else writes there.

    `identity` is one line. When all is done the log is taken away.
    """
    target.mkdir(parents=True, exist_ok=True)
    path = target / _LOG
    if not path.is_file() and any(entry.name != path.name for entry in target.iterdir()):
        raise ConfigError(f"TO: {target}: is not empty; give a folder that is, or a new one")
    with open(path, "a+", encoding="utf-8") as log:
        try:
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise JobError(f"TO: {target}: another process is converting into it") from error
        log.seek(0)
        known, *lines = log.read().split("\n")
        if not lines:  # the identity itself may have been cut off, and no file is there
            log.truncate(0)
            known = ""
        if known and known != identity:
            raise ConfigError(
                f"TO: {target}: holds the beginning of another conversion, or FROM has changed since; "
                "give another folder, or remove this one"
            )
        log.write("\n" if known else f"{identity}\n")  # behind a line that was cut off, too
        log.flush()
        yield BegunConversion(target, log, lines)
    path.unlink()


def _hash_on_disk(file: Path) -> str:
    """Of the bytes as the disk has them, as far as the kernel lets go of its copy."""
    with open(file, "rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return hashlib.file_digest(opened, "sha256").hexdigest()
