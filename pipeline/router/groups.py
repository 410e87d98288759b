"""The groups that router statistics name: the largest ones; all others are counted as one, OTHER_GROUP.

Without the limit, a column of distinct values would need a table for every row. The limit holds within each
shard and again over all shards. So a group that is named in the end lacks its rows of those shards in which
it was too small to be named.
"""

from collections.abc import Mapping
from heapq import nsmallest

MOST_GROUPS = 256
OTHER_GROUP = "(other)"
_LONGEST_NAME = 128


def group_name(value: str) -> str:
    """The name of a row's group, cut if it is long, since every line of a table holds it."""
    return value if len(value) <= _LONGEST_NAME else value[: _LONGEST_NAME - 1] + "…"


def largest_groups(tokens: Mapping[str, int], most: int) -> set[str]:
    """The `most` groups with most tokens, ties broken by name; never OTHER_GROUP."""
    named = (group for group in tokens if group != OTHER_GROUP)
    return set(nsmallest(most, named, key=lambda group: (-tokens[group], group)))
