"""Retries of requests to object stores, for two minutes; `failures` tells which are worth it."""

import errno
import io
import random
import time
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar, cast

from pipeline.storage.failures import describe, http_status, is_of_storage, is_transient, without_message

Result = TypeVar("Result")

DEADLINE_SECONDS = 120.0


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
            if http_status(error) == 412:
                raise FileExistsError(errno.EEXIST, "exists already", url) from None
            if not is_transient(error):
                if is_of_storage(error):
                    raise without_message(error, url) from None
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
