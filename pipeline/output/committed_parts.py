"""What stands in the output folder beside the rows is computed from the committed parts alone.

So it is the same whichever run finishes the job. Parts are read many at once, and added up as they come:
what that takes of memory does not grow with their number, but for the path and the hash of each. Router
tables wait their turn as they are stored, since one of many groups takes ten times as much once it is parsed.
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

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.durable.commit import RouterTable
from pipeline.output.publish import read_footer
from pipeline.reporting.summary import ShardSummary
from pipeline.router.sums import Sums, merge_into
from pipeline.router.tables import experts_table, from_parquet, layers_table, pairs_table
from pipeline.storage.store import Store

_READERS = 16  # at once; an object store's answers take their time
Given = TypeVar("Given")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Parts:
    """The sums over some committed parts, and what each holds."""

    summary: ShardSummary
    router: Sums
    sha256: dict[str, str]  # by path; empty where nobody asked for it


def read_parts(
    store: Store,
    paths: Iterable[str],
    hashed: bool,
    deadline: float = inf,
    known: Mapping[str, str | None] = {},
) -> Parts:
    """What parts and the router tables that they name come to. Hashing reads them whole, else the footers.

    `known` may give the hashes of some parts, by path, which then are not read whole.
    multiprocessing.TimeoutError once time.monotonic() is beyond the deadline.
    """
    sha256: dict[str, str] = {}
    router: Sums = {}

    def read(path: str) -> tuple[str, ShardSummary, bytes | None, str | None]:
        digest = known.get(path) if hashed else None
        data = store.read(path) if hashed and digest is None else None
        with store.open_file(path) if data is None else io.BytesIO(data) as part:
            summary, table = read_footer(part)
        if data is not None:
            digest = hashlib.sha256(data).hexdigest()
        return path, summary, _router_table(store, table) if table else None, digest

    def summaries() -> Iterator[ShardSummary]:
        for path, summary, table, digest in _in_threads(read, paths, deadline):
            if table is not None:
                merge_into(router, from_parquet(table))
            if digest is not None:
                sha256[path] = digest
            yield summary

    return Parts(ShardSummary.total(summaries()), router, sha256)


def _in_threads(work: Callable[[Given], Result], items: Iterable[Given], deadline: float) -> Iterator[Result]:
    """`work` of every item, in their order; no more than a few results wait to be taken.

    Whatever ends this, it does not wait for work that hangs: the threads of this pool are daemons.
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
        raise multiprocessing.TimeoutError  # also where the next result is there already
    return seconds


def _router_table(store: Store, router: RouterTable) -> bytes:
    data = store.read(router.path)
    if hashlib.sha256(data).hexdigest() != router.sha256:
        raise RuntimeError(f"{store.url(router.path)}: changed since its part was committed")
    return data


def write_router_tables(store: Store, sums: Sums) -> pd.DataFrame | None:
    """OUT/router/*.parquet; returns the experts table, or None where nothing was routed."""
    if not sums:
        return None
    tables = {"experts": experts_table(sums), "pairs": pairs_table(sums), "layers": layers_table(sums)}
    for name, table in tables.items():
        store.replace(f"router/{name}.parquet", _to_bytes(table))
    experts: pd.DataFrame = tables["experts"].to_pandas()
    return experts


def _to_bytes(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()
