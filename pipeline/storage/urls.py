"""Local paths and fsspec URLs under one roof: open one, print one without its secrets."""

import re
from typing import Any

import fsspec


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a path or URL and the path within it; listings are never cached."""
    fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
    return fs, str(path)


def redact(url: str) -> str:
    """`url` as messages may show it: without user, password and query."""
    return re.sub(r"(?<=://)[^/@]*@", "", url.partition("?")[0])


class WatchedFile:
    """Passes reads on and remembers if the storage failed, which Arrow reports as if the data were bad."""

    def __init__(self, stored: Any) -> None:
        self._stored = stored
        self.error: Exception | None = None
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        try:
            return bytes(self._stored.read(size))
        except Exception as error:
            self.error = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return int(self._stored.seek(offset, whence))

    def tell(self) -> int:
        return int(self._stored.tell())

    def close(self) -> None:
        self.closed = True
