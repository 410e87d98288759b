"""Local paths and fsspec URLs: their filesystem, and what to install where its package is missing."""

import os
from typing import Any

import fsspec
from fsspec.implementations.local import LocalFileSystem

from pipeline.errors import ConfigError
from pipeline.storage.credentials import redact

# Kinds of URLs whose package is an extra of this project: the package, and the extra.
_EXTRAS = {
    "s3": ("s3fs", "s3"), "s3a": ("s3fs", "s3"),
    "gs": ("gcsfs", "gcs"), "gcs": ("gcsfs", "gcs"),
    "hf": ("huggingface_hub", "hf"),
}  # fmt: skip


def filesystem(url: str) -> tuple[Any, str]:
    """The fsspec filesystem of a path or URL and the path within it; listings are never cached.

    ConfigError, which says what to do, if a package is missing, or if there is no such kind of URL.
    """
    kind = url.partition("://")[0]
    try:
        own = _own_class(kind)
        if "://" not in url:  # fsspec would take `::` in a file's name for a chain of URLs
            fs: Any = LocalFileSystem(use_listings_cache=False)
            path = local_path(url)
        elif own is None:
            fs, path = fsspec.url_to_fs(url, use_listings_cache=False)
        else:
            fs = own(use_listings_cache=False)
            path = fs._strip_protocol(url)
    except ImportError as error:
        raise ConfigError(f"{redact(url)}: {what_to_install(kind, error)}") from None
    except (ValueError, TypeError) as error:  # TypeError: one that needs more than a URL
        why = redact(str(error))
        raise ConfigError(f"{redact(url)}: no such kind of URL can be read: {why}") from None
    return fs, local_path(path) if isinstance(fs, LocalFileSystem) else str(path)


def local_path(given: str) -> str:
    """A local path, or URL, from the root on, without doubled slashes, which globs would take for a folder.

    `..` stays as it is, since a link may come before it.
    """
    path = str(LocalFileSystem._strip_protocol(given))
    whole = path if path.startswith("/") else f"{os.getcwd()}/{path}"
    return "/" + "/".join(name for name in whole.split("/") if name not in ("", "."))


def what_to_install(kind: str, error: ImportError) -> str:
    """Which package this kind of URL lacks, and the command that installs it."""
    missing = error.__cause__ if isinstance(error.__cause__, ImportError) else error
    package, extra = _EXTRAS.get(kind, ("", ""))
    module = (missing.name or "").partition(".")[0] or package
    if not module:
        return f"no such kind of URL can be read: {error}"
    what = f"'mixtray[{extra}]'" if extra else module
    return f"{module} is not installed: pip install {what}"


def _own_class(kind: str) -> Any:
    """The project's own filesystem for a kind of URL, if it has one; ImportError if it lacks its package."""
    if kind not in ("s3", "s3a", "gs", "gcs"):
        return None
    fsspec.get_filesystem_class(kind)
    if kind in ("s3", "s3a"):
        from pipeline.storage.amazon import AmazonFileSystem

        return AmazonFileSystem
    from pipeline.storage.google import GoogleFileSystem

    return GoogleFileSystem


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
