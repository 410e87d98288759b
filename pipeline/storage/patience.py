"""Waiting out an object store's bad moments: what is worth another try, how long, and what to say of it."""

import errno
import io
import random
import time
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")

DEADLINE_SECONDS = 120.0
HOPELESS = {errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.ENOSPC}
CLIENT_LIBRARIES = {"aiobotocore", "aiohttp", "botocore", "requests", "urllib3"}


def patiently(call: Callable[[], Result], url: str) -> Result:
    """Call until it works, fails for good, or the deadline is over (TimeoutError); waits grow and jitter.

    An answer of 412, "precondition failed", is raised as FileExistsError whatever the client made of it.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    wait = 0.2
    while True:
        try:
            return call()
        except Exception as error:
            if _status(error) == 412:
                raise FileExistsError(errno.EEXIST, "exists already", url) from error
            if not _transient(error):
                raise
            if time.monotonic() + wait > deadline:
                what = f"no success within {DEADLINE_SECONDS:.0f} s ({describe(error)})"
                raise TimeoutError(f"{url}: {what}") from error
        time.sleep(random.uniform(wait / 2, wait))
        wait = min(2 * wait, 10.0)


class PatientFile(io.RawIOBase):
    """A stored file, open for reading, each of whose reads is made patiently."""

    def __init__(self, stored: Any, url: str) -> None:
        self._stored = stored
        self._url = url

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._stored.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stored.tell())

    def read(self, size: int | None = -1) -> bytes:
        start = self.tell()

        def read_on() -> bytes:
            self._stored.seek(start)
            return bytes(self._stored.read(-1 if size is None else size))

        return patiently(read_on, self._url)

    def close(self) -> None:
        self._stored.close()
        super().close()


def describe(error: BaseException) -> str:
    """An exception without its message: what a server or a client puts there may hold credentials."""
    status = _status(error)
    return type(error).__name__ + (f", HTTP {status}" if status else "")


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an exception of s3fs (botocore's is its cause) or gcsfs."""
    status: Any = getattr(error, "code", None)  # not its cause's: aiohttp calls an answer cut short a 400
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
        status = metadata.get("HTTPStatusCode") or status
    return int(status) if str(status).isdigit() else None


def _transient(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status in (408, 409, 429) or status >= 500
    if isinstance(error, (FileExistsError, FileNotFoundError, PermissionError, IsADirectoryError)):
        return False
    if isinstance(error, OSError):  # timeouts and lost connections are OSErrors too
        return error.errno not in HOPELESS
    return type(error).__module__.partition(".")[0] in CLIENT_LIBRARIES
