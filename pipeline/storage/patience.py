"""Waiting out an object store's bad moments: what is worth another try, how long, and what to say of it."""

import errno
import random
import time
from collections.abc import Callable
from typing import TypeVar

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


def describe(error: BaseException) -> str:
    """An exception without its message: what a server or a client puts there may hold credentials."""
    status = _status(error)
    return type(error).__name__ + (f", HTTP {status}" if status else "")


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an exception of s3fs (botocore's is its cause) or gcsfs."""
    for candidate in (error, error.__cause__):
        response = getattr(candidate, "response", None)
        metadata = response.get("ResponseMetadata", {}) if isinstance(response, dict) else {}
        status = metadata.get("HTTPStatusCode") or getattr(candidate, "code", None)
        if status is not None and str(status).isdigit():
            return int(status)
    return None


def _transient(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status in (408, 409, 429) or status >= 500
    if isinstance(error, (FileExistsError, FileNotFoundError, PermissionError, IsADirectoryError)):
        return False
    if isinstance(error, OSError):  # timeouts and lost connections are OSErrors too
        return error.errno not in HOPELESS
    return type(error).__module__.partition(".")[0] in CLIENT_LIBRARIES
