"""Which groups are named."""

import pytest

from pipeline.router.groups import OTHER_GROUP, group_name, largest_groups

TOKENS = {"d": 2, "c": 2, "b": 9, "a": 1, "e": 2, OTHER_GROUP: 100}


@pytest.mark.parametrize(
    ("most", "named"), [(0, ""), (1, "b"), (2, "bc"), (3, "bcd"), (5, "abcde"), (9, "abcde")]
)
def test_the_largest_are_named_and_ties_go_by_name(most: int, named: str) -> None:
    assert largest_groups(TOKENS, most) == set(named)
    assert largest_groups(dict(reversed(TOKENS.items())), most) == set(named), "in whatever order they come"


def test_long_names_are_cut() -> None:
    assert group_name("ä" * 128) == "ä" * 128
    assert group_name("ä" * 129) == "ä" * 127 + "…"
