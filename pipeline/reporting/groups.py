"""How many groups router statistics are kept apart by: the largest by name, all others counted as one.

Else a column of distinct values would take the memory of a table for every row. It is done in each shard and
again over all, so a group that is named lacks its rows of those shards in which it was small among many. How
many groups were merged is told from a sketch of their names (k minimum values), whose size is fixed.
"""

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from heapq import nsmallest

import numpy as np

from model.row_routing import Counts

MOST_GROUPS = 256
OTHER_GROUP = "(other)"
_LONGEST_NAME = 128
_SKETCH_SIZE = 1024
_HASH_BITS = 63  # that an int64 has room for


def group_name(value: str) -> str:
    """The name of a row's group. Every line of a table holds it, so a long one is cut."""
    return value if len(value) <= _LONGEST_NAME else value[: _LONGEST_NAME - 1] + "…"


def largest_groups(tokens: Mapping[str, int], most: int) -> set[str]:
    """Of groups with so many tokens, the `most` largest, ties by name; OTHER_GROUP is never one of them."""
    named = (group for group in tokens if group != OTHER_GROUP)
    return set(nsmallest(most, named, key=lambda group: (-tokens[group], group)))


def sketch(groups: Iterable[str]) -> Counts:
    """The smallest hashes of the names, in order."""
    return np.array(nsmallest(_SKETCH_SIZE, {_hash(group) for group in groups}), dtype=np.int64)


def united(one: Counts, other: Counts) -> Counts:
    """The sketch of what either holds."""
    return np.union1d(one, other)[:_SKETCH_SIZE]


def count_groups(sketched: Counts, but: Iterable[str]) -> int:
    """How many groups a sketch was made of, not counting `but`: exact below 1,024, within some 10% above."""
    counted = np.setdiff1d(sketched, np.array([_hash(group) for group in but], dtype=np.int64))
    if len(sketched) < _SKETCH_SIZE:
        return len(counted)
    return round(len(counted) * 2.0**_HASH_BITS / float(sketched[-1]))


def _hash(group: str) -> int:
    return int.from_bytes(blake2b(group.encode(), digest_size=8).digest()) >> (64 - _HASH_BITS)
