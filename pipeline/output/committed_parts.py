"""The sums over committed parts, from which the report and the router tables are made.

They come from the parts alone, so they are the same whichever run finishes the job. Threads read many parts
at once, and each is added to the sums as it arrives: memory grows with the number of parts only by the path
and the hash of each. A router table that waits to be added is held as its Parquet bytes, since one of many
groups takes ten times as much memory once it is parsed.
"""

import hashlib
import io
import multiprocessing
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import inf
from multiprocessing.pool import AsyncResult, ThreadPool
from typing import TypeVar

from pipeline.durable.commit import RouterTable
from pipeline.durable.damage import damaged, naming_damage
from pipeline.output.part_file import read_footer
from pipeline.reporting.summary import ShardSummary
from pipeline.router.sums import Sums, merge_into
from pipeline.router.tables import from_parquet
from pipeline.storage.sealed_parquet import whole_sha256
from pipeline.storage.store import Store

_READERS = 16  # at once, since the answers of an object store take long
Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Parts:
    """The sums over some committed parts, and the hash of each."""

    summary: ShardSummary
    router: Sums
    sha256: dict[str, str]  # by path; empty unless hashes were asked for


def read_parts(
    store: Store,
    paths: Iterable[str],
    hashed: bool,
    deadline: float = inf,
    known: Mapping[str, str | None] = {},
) -> Parts:
    """The sums of these parts and of the router tables that they name.

    `hashed` parts are read whole; of the others only the footers are read. DamagedFile names a part or a
    table that is not what was committed, as far as it is read.

    `known` may give the hashes of some parts, by path, which then need not be read whole.
    multiprocessing.TimeoutError if it takes longer than until `deadline`, a time of time.monotonic().
    """
    sha256: dict[str, str] = {}
    router: Sums = {}

    def read(path: str) -> tuple[str, ShardSummary, bytes | None, str | None]:
        digest = known.get(path) if hashed else None
        data = store.read(path) if hashed and digest is None else None
        with store.open_file(path) if data is None else io.BytesIO(data) as part, naming_damage(path):
            if data is not None:
                digest = whole_sha256(data)
            summary, table = read_footer(path, part)
        return path, summary, router_table(store.read, path, table) if table else None, digest

    def summaries() -> Iterator[ShardSummary]:
        for path, summary, table, digest in in_threads(read, paths, deadline):
            if table is not None:
                merge_into(router, from_parquet(table))
            if digest is not None:
                sha256[path] = digest
            yield summary

    return Parts(ShardSummary.total(summaries()), router, sha256)


def in_threads(
    work: Callable[[Given], Result], items: Iterable[Given], deadline: float = inf
) -> Iterator[Result]:
    """The results of `work` on every item, in order; only a few are computed ahead of the caller.

    An exception or a close leaves work that hangs behind: the pool's threads are daemons.
    """
    waiting: deque[AsyncResult[Result]] = deque()
    left = iter(items)
    with ThreadPool(_READERS) as pool:
        waiting.extend(pool.apply_async(work, (item,)) for item in islice(left, 2 * _READERS))
        while waiting:
            yield waiting.popleft().get(_seconds_until(deadline))
            waiting.extend(pool.apply_async(work, (item,)) for item in islice(left, 1))


def _seconds_until(deadline: float) -> float | None:
    if deadline == inf:
        return None
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise multiprocessing.TimeoutError  # even if the next result is ready
    return seconds


def router_table(read: Callable[[str], bytes], part: str, table: RouterTable) -> bytes:
    """The router table that a part names; DamagedFile if it is not the one that the part was made with."""
    try:
        data = read(table.path)
    except FileNotFoundError:
        raise damaged(table.path, f"it is missing, and {part} names it") from None
    if hashlib.sha256(data).hexdigest() != table.sha256:
        raise damaged(table.path, f"its bytes are not those with which {part} was committed")
    return data
