"""Weights read from a URL by ranges, straight into memory, without a copy on a disk.

Each range is one request of at most PIECE bytes, repeated as `pipeline.storage.retries` has it. What goes
wrong is a JobError that names the file and the range.
"""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from typing import Protocol

from model.checkpoint.fill import THREADS
from model.checkpoint.weight_folder import WeightFolder
from pipeline.errors import ConfigError, job_error
from pipeline.reading.etags import etag
from pipeline.storage.credentials import redact
from pipeline.storage.retries import with_retries
from pipeline.storage.urls import filesystem

PIECE = 8 << 20  # bytes

# Fills a buffer with the bytes from a place on by one request -> how many bytes came, be they more or fewer.
Fetch = Callable[[memoryview, int], int]


class StreamedWeights(WeightFolder, Protocol):
    def require_unchanged(self) -> None:
        """ConfigError if a file of the weights is another than when the checkpoint was located."""


class StreamedFile:
    """A WeightFile at a URL."""

    def __init__(self, name: str, size: int, fetch: Fetch) -> None:
        self.name = name
        self.size = size
        self._fetch = fetch

    def read_into(self, buffer: memoryview, start: int) -> None:
        """By requests of several threads at once, if it is more than PIECE.

        JobError, or ConfigError, if it can't be read.
        """
        if start + len(buffer) > self.size:
            raise OSError(f"{self.name}: ends at byte {self.size}, before the tensors that its header names")
        pieces = [(buffer[at : at + PIECE], start + at) for at in range(0, len(buffer), PIECE)]
        if len(pieces) == 1:
            self._read(*pieces[0])
        else:
            for _ in _threads().map(self._read, *zip(*pieces, strict=True)):
                pass

    def close(self) -> None:
        """Nothing is open between requests."""

    def _read(self, buffer: memoryview, start: int) -> None:
        where = f"{self.name}, bytes {start} to {start + len(buffer) - 1}"
        try:
            came = with_retries(partial(self._fetch, buffer, start), where)
        except OSError as error:
            raise job_error(error, "model.path") from None
        if came > len(buffer):
            raise ConfigError(
                f"model.path: {where}: the server sends the whole file, as one that can't read ranges: set "
                "model.fetch to cache"
            )
        if came < len(buffer):
            raise ConfigError(
                f"model.path: {where}: only {came} bytes came: the file was cut short after the job found it"
            )


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(THREADS, thread_name_prefix="stream")


@dataclass(frozen=True)
class RemoteWeights:
    """StreamedWeights at an fsspec URL, as they were when it was listed."""

    url: str
    names: Collection[str]
    sizes: Mapping[str, int]  # of the weights' files
    etags: Mapping[str, str]

    def open(self, name: str) -> StreamedFile:
        fs, folder = filesystem(self.url)
        path = f"{folder.rstrip('/')}/{name}"

        def fetch(buffer: memoryview, start: int) -> int:
            data = fs.cat_file(path, start=start, end=start + len(buffer))
            if len(data) == len(buffer):
                buffer[:] = data
            return len(data)

        return StreamedFile(self._named(name), self.sizes[name], fetch)

    def require_unchanged(self) -> None:
        fs, folder = filesystem(self.url)
        for name, before in self.etags.items():
            info = partial(fs.info, f"{folder.rstrip('/')}/{name}")
            try:
                same = etag(with_retries(info, self._named(name))) == before
            except FileNotFoundError:
                same = False
            if not same:
                raise ConfigError(f"model.path: {self._named(name)}: was changed while it was read")

    def _named(self, name: str) -> str:
        return f"{redact(self.url).rstrip('/')}/{name}"
