"""Retries of requests to object stores: which failures are transient, for how long, and how they are told."""

import errno
import io
import random
import time
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

Result = TypeVar("Result")

DEADLINE_SECONDS = 120.0
PERMANENT = {
    errno.EINVAL, errno.EPERM, errno.ENOSYS, errno.ENAMETOOLONG, errno.EMSGSIZE, errno.ENOSPC,
    errno.ENOTDIR, errno.ELOOP,
}  # fmt: skip
WITHOUT_CREDENTIALS = {
    "NoCredentialsError", "PartialCredentialsError", "ProfileNotFound", "DefaultCredentialsError",
}  # fmt: skip
CLIENT_LIBRARIES = {"aiobotocore", "aiohttp", "botocore", "gcsfs", "google", "requests", "urllib3"}


def with_retries(call: Callable[[], Result], url: str) -> Result:
    """Repeat `call` until it succeeds, fails for good, or the deadline is over (TimeoutError).

    Between tries it waits, longer each time and with jitter. HTTP 412, "precondition failed", is raised as
    FileExistsError whatever exception the client made of it.

    The exceptions raised tell of the original one only what `describe` does, and are not chained to it: Ray
    writes chains of exceptions to its logs, and the original message may hold credentials.
    """
    deadline = time.monotonic() + DEADLINE_SECONDS
    wait = 0.2
    while True:
        try:
            return call()
        except Exception as error:
            if _status(error) == 412:
                raise FileExistsError(errno.EEXIST, "exists already", url) from None
            if not _transient(error):
                if _of_storage(error):
                    raise _plain(error, url) from None
                raise
            if time.monotonic() + wait > deadline:
                what = f"no success within {DEADLINE_SECONDS:.0f} s ({describe(error)})"
                raise TimeoutError(f"{url}: {what}") from None
        time.sleep(random.uniform(wait / 2, wait))
        wait = min(2 * wait, 10.0)


def open_with_retries(fs: Any, path: str, url: str) -> BinaryIO:
    """A file of an fsspec filesystem, opened for reading; messages call it `url`."""
    return cast(BinaryIO, RetryingFile(with_retries(lambda: fs.open(path, "rb"), url), url))


class RetryingFile(io.RawIOBase):
    """A file opened for reading, each of whose reads is retried."""

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

        def read_again() -> bytes:
            self._stored.seek(start)
            return bytes(self._stored.read(-1 if size is None else size))

        return with_retries(read_again, self._url)

    def close(self) -> None:
        self._stored.close()
        super().close()


def describe(error: BaseException) -> str:
    """An exception's type and HTTP status, without its message, which may hold credentials."""
    status, code = _status(error), _code(error)
    answer = f", HTTP {status}" + (f" {code}" if code else "") if status else ""
    return type(error).__name__ + answer


def _plain(error: Exception, url: str) -> OSError:
    """An OSError of the type that callers distinguish, with a message that holds no secret."""
    kinds = (FileExistsError, FileNotFoundError, PermissionError, IsADirectoryError)
    kind = next((kind for kind in kinds if isinstance(error, kind)), OSError)
    number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
    if type(error).__name__ in WITHOUT_CREDENTIALS:
        kind, number = PermissionError, errno.EACCES
    return kind(number, describe(error), url)


def _status(error: BaseException) -> int | None:
    """The HTTP status behind an exception of s3fs (botocore's is its cause) or gcsfs."""
    # not its cause's `code`: aiohttp gives 400 to an answer that was cut short
    status: Any = getattr(error, "code", None)
    for response in _responses(error):
        status = response.get("ResponseMetadata", {}).get("HTTPStatusCode") or status
    return int(status) if str(status).isdigit() else None


def _code(error: BaseException) -> str | None:
    """S3's error code, such as AccessDenied; None unless it is a single word."""
    codes = [str(response.get("Error", {}).get("Code")) for response in _responses(error)]
    return next((code for code in codes if code.isalpha()), None)


def _responses(error: BaseException) -> list[dict[str, Any]]:
    responses = (getattr(candidate, "response", None) for candidate in (error, error.__cause__))
    return [response for response in responses if isinstance(response, dict)]


def _transient(error: Exception) -> bool:
    status = _status(error)
    if status is not None:
        return status in (408, 409, 429) or status >= 500
    if isinstance(error, (FileExistsError, FileNotFoundError, PermissionError, IsADirectoryError)):
        return False
    if type(error).__name__ in WITHOUT_CREDENTIALS:
        return False
    if isinstance(error, OSError):  # timeouts and lost connections are OSErrors too
        return error.errno not in PERMANENT
    return _of_storage(error)


def _of_storage(error: Exception) -> bool:
    return isinstance(error, OSError) or type(error).__module__.partition(".")[0] in CLIENT_LIBRARIES
