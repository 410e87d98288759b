"""Which store a path or URL has."""

from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.storage.credentials import redact
from pipeline.storage.local_store import LocalStore
from pipeline.storage.object_store import ObjectStore
from pipeline.storage.store import Store

CONDITIONAL_PUT = ("s3", "s3a", "gs", "gcs", "memory")  # where mode="create" is known to be atomic


def open_store(url: str | Path) -> Store:
    """The store at a local path or an fsspec URL (s3://, gs://); it does no I/O yet.

    ConfigError for a kind of URL without an atomic create, and for one whose package is not installed.
    """
    url = str(url)
    protocol = url.partition("://")[0] if "://" in url else "file"
    if protocol in ("file", "local"):
        return LocalStore(url.partition("://")[2] or url)
    if protocol not in CONDITIONAL_PUT or "::" in url:
        raise ConfigError(
            f"output.path: {redact(url)}: no atomic create is known for this kind of store, and without "
            "it rows could be doubled; write to a local folder, s3:// or gs://"
        )
    store = ObjectStore(url)
    try:
        store.open()
    except ConfigError as error:
        raise ConfigError(f"output.path: {error}") from None
    return store
