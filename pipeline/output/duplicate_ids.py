"""How many rows of a job have an id that another row before them has, by a hash of each id.

Memory is bounded: the ids of a large job are counted in several passes over the parts, each over its share of
the hashes. Two different ids share a hash of 64 bits once in 40,000 jobs of 30 million rows.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.durable.damage import naming_damage
from pipeline.output.committed_parts import in_threads
from pipeline.storage.sealed_parquet import read_table
from pipeline.storage.store import Store

Hashes = np.ndarray[Any, np.dtype[np.uint64]]
AT_ONCE = 1 << 25  # hashes in memory, 8 bytes each


def count_duplicate_ids(store: Store, parts: Sequence[str], rows: int) -> int:
    """Over these committed parts, which have that many rows together."""
    passes = max(1, -(-rows // AT_ONCE))
    return sum(_count(store, parts, number, passes) for number in range(passes))


def _count(store: Store, parts: Sequence[str], number: int, passes: int) -> int:
    """The duplicates among the ids whose hash leaves this remainder."""

    def hashes(path: str) -> Hashes:
        with store.open_file(path) as part, naming_damage(path):
            ids = read_table(part, columns=["id"])["id"].to_numpy()
        found: Hashes = pd.util.hash_array(ids, categorize=False)
        mine: Hashes = found[found % np.uint64(passes) == number]
        return mine

    def found() -> Iterator[Hashes]:
        yield np.empty(0, np.uint64)
        yield from in_threads(hashes, parts)

    all_hashes = np.concatenate(list(found()))
    all_hashes.sort()
    return int((all_hashes[1:] == all_hashes[:-1]).sum())
