"""Router statistics of many rows, summed by group: within a shard, then over all shards.

All are int64, so the result does not depend on the order of the sum, as long as no group is merged into
OTHER_GROUP on the way.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import fields

from model.requests.row_routing import Counts, RowRouting
from pipeline.router.groups import MOST_GROUPS, OTHER_GROUP, largest_groups

COUNTS = [field.name for field in fields(RowRouting)]
# While shards are summed, more groups are held than are published: a small one may still grow.
_MOST_HELD = 4 * MOST_GROUPS
Sums = dict[str, dict[str, Counts]]  # group -> one of COUNTS -> sum, shaped as in RowRouting


def sum_by_group(rows: Iterable[tuple[str, RowRouting]], most: int = MOST_GROUPS) -> Sums:
    """The sums of a shard's rows; all but the `most` largest groups are merged into OTHER_GROUP."""
    rows = list(rows)
    tokens: Counter[str] = Counter()
    for group, routing in rows:
        tokens[group] += int(routing.tokens.sum())
    named = largest_groups(tokens, most)
    sums: Sums = {}
    for group, routing in rows:
        counts = {name: getattr(routing, name) for name in COUNTS}
        _add(sums, group if group in named else OTHER_GROUP, counts)
    return sums


def merge(parts: Iterable[Sums], most: int = MOST_GROUPS) -> Sums:
    total: Sums = {}
    for part in parts:
        merge_into(total, part)
    limit_groups(total, most)
    return total


def merge_into(total: Sums, part: Sums) -> None:
    """Add a part's sums to `total`, which holds at most a few times the groups that are published."""
    for group, counts in part.items():
        _add(total, group, counts)
    limit_groups(total, _MOST_HELD)


def limit_groups(sums: Sums, most: int = MOST_GROUPS) -> None:
    """Merge all but the `most` largest groups into OTHER_GROUP."""
    if len(sums) <= most:
        return
    tokens = {group: int(counts["tokens"].sum()) for group, counts in sums.items()}
    for group in tokens.keys() - largest_groups(tokens, most) - {OTHER_GROUP}:
        _add(sums, OTHER_GROUP, sums.pop(group))


def are_merged(sums: Sums) -> bool:
    """Whether some groups were merged into OTHER_GROUP."""
    return OTHER_GROUP in sums and len(sums) > MOST_GROUPS


def _add(sums: Sums, group: str, counts: Mapping[str, Counts]) -> None:
    own = sums.setdefault(group, {})
    for name, values in counts.items():
        if name in own:
            own[name] += values
        else:
            own[name] = values.copy()
