"""Local paths and fsspec URLs: their filesystem, and how credentials stay out of messages and job files."""

import re
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import shown

# A secret key may contain slashes; `host:9000/` is a port, no user and password.
_USER = re.compile(r"(?<=://)(?:[^\s/@]*|[^\s/@:]*:(?!\d+/)[^\s@]*)@")
_QUERY = re.compile(r"(?<=://)(\S*?)\?[^\s/?]*=\S*")


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a path or URL and the path within it; listings are never cached.

    ImportError, which says what to install, if a package is missing; ValueError for an unknown kind of URL.
    """
    own = _own_class(url.partition("://")[0])
    if "://" not in url:  # fsspec would take `::` in a file's name for a chain of URLs
        fs: Any = LocalFileSystem(use_listings_cache=False)
        path = fs._strip_protocol(url)
    elif own is None:
        fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
    else:
        fs = own(use_listings_cache=False)
        path = fs._strip_protocol(url)
    return fs, str(path)


def _own_class(protocol: str) -> Any:
    """The project's own filesystem for a kind of URL, if it has one."""
    if protocol not in ("s3", "s3a", "gs", "gcs"):
        return None
    package, extra = ("s3fs", "s3") if protocol in ("s3", "s3a") else ("gcsfs", "gcs")
    try:
        fsspec.get_filesystem_class(protocol)
    except ImportError as error:
        raise ImportError(f"{package} is not installed: pip install 'mixtray[{extra}]'") from error
    if extra == "s3":
        from pipeline.storage.amazon import AmazonFileSystem

        return AmazonFileSystem
    from pipeline.storage.google import GoogleFileSystem

    return GoogleFileSystem


def redact(text: str) -> str:
    """A URL, or a text that contains URLs, without users, passwords and queries."""
    return _QUERY.sub(r"\1", _USER.sub("", text))


def named(path: str) -> str:
    """A path or URL as messages and tables show it: redacted, printable and in one line."""
    return shown(redact(path))


def without_credentials(path: str) -> str:
    """Returns `path`; ValueError if it is a URL with a user, a password or a query (maybe a signature)."""
    if redact(path) != path:
        raise ValueError(
            "credentials do not belong in a job file, nor does a URL with ?...=, which may be signed: "
            "give the plain URL, and the credentials in the environment (AWS_..., GOOGLE_...)"
        )
    return path


class WatchedFile:
    """Passes reads on and keeps an error of the storage, which Arrow would report as bad data."""

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
