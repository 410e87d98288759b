"""How many groups router statistics are kept apart by: the largest by name, all others counted as one.

Else a column of distinct values would take the memory of a table for every row. It is done in each shard and
again over all, so a group that is named lacks its rows of those shards in which it was small among many.
"""

from collections.abc import Mapping
from heapq import nsmallest

MOST_GROUPS = 256
OTHER_GROUP = "(other)"
_LONGEST_NAME = 128


def group_name(value: str) -> str:
    """The name of a row's group. Every line of a table holds it, so a long one is cut."""
    return value if len(value) <= _LONGEST_NAME else value[: _LONGEST_NAME - 1] + "…"


def largest_groups(tokens: Mapping[str, int], most: int) -> set[str]:
    """Of groups with so many tokens, the `most` largest, ties by name; OTHER_GROUP is never one of them."""
    named = (group for group in tokens if group != OTHER_GROUP)
    return set(nsmallest(most, named, key=lambda group: (-tokens[group], group)))
