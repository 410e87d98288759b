import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reading.glob_pattern import GlobPattern


@pytest.mark.parametrize(
    ("pattern", "folder", "leads"),
    [
        ("/in/*.jsonl", "/in/a", False),
        ("/in/*/x.jsonl", "/in/a", True),
        ("/in/de*/x.jsonl", "/in/fr", False),
        ("/in/de*/x.jsonl", "/in/de/deep", False),
        ("/in/*/year=*/x", "/in/de/year=1", True),
        ("/in/*/year=*/x", "/in/de/month=1", False),
        ("/in/**/x", "/in/a/b/c", True),
        ("/in/de/**/x", "/in/de/b/c", True),
        ("/in/d*/**/x", "/in/fr/b/c", False),
        ("/in/**", "/in/a", True),
        ("/in/**", "/in", True),
        ("/in/*/x", "/in", True),
        ("/*/x", "", True),
        ("/*/x", "/a", True),
        ("/*/x", "/a/b", False),
    ],
)
def test_folders_that_cannot_match_are_not_entered(pattern: str, folder: str, leads: bool) -> None:
    assert GlobPattern(pattern).leads_through(folder) == leads


@pytest.mark.parametrize(
    ("pattern", "folder", "positions"),
    [
        ("/in/*/*/f", "/in", {0}),
        ("/in/*/*/f", "/in/a", {1}),
        ("/in/*/*/f", "/in/a/b", {2}),
        ("/in/*/*/f", "/in/a/b/c", set()),
        ("/in/**/latest/*", "/in/de", {0, 1}),
        ("/in/**/latest/*", "/in/de/latest", {0, 1, 2}),
        ("/in/**/latest/*", "/in/latest/latest", {0, 1, 2}),
        ("/in/**/a/**/b", "/in/x/a", {0, 1, 2, 3}),
        ("/in/**/a/**", "/in/a", {0, 1, 2}),
    ],
)
def test_a_folder_s_positions_are_what_its_names_are_compared_with(
    pattern: str, folder: str, positions: set[int]
) -> None:
    assert GlobPattern(pattern).positions(folder) == positions


_NAMES = st.sampled_from("ab")
_PARTS = st.lists(st.sampled_from(["**", "*", "a", "b", "[b]", "?"]), min_size=1, max_size=5)


@given(parts=_PARTS, names=st.lists(_NAMES, min_size=1, max_size=5))
def test_all_folders_on_the_way_to_a_match_are_entered(parts: list[str], names: list[str]) -> None:
    """And two folders with the same positions match alike: `matches` is fsspec's own expression."""
    pattern = GlobPattern("/".join(["/in/?", *parts, "*"]))
    if pattern.matches("/".join(["/in", *names])):
        for depth in range(len(names)):
            assert pattern.leads_through("/".join(["/in", *names[:depth]]))
    for other in ("/in/a", "/in/b/b", "/in/a/b/a"):
        if pattern.positions(other) >= pattern.positions("/".join(["/in", *names])):
            for below in ("a", "b", "a/b", "b/a", "b/b/b"):
                here = pattern.matches("/".join(["/in", *names, below]))
                assert pattern.matches(f"{other}/{below}") or not here


def test_it_matches_as_fsspec_does() -> None:
    pattern = GlobPattern("/in/[ab]?/*.jsonl")
    assert pattern.base == "/in"
    assert pattern.matches("/in/ax/new\nline.jsonl")
    assert not pattern.matches("/in/ax/deep/1.jsonl")
    with pytest.raises(ValueError, match="entire path component"):
        GlobPattern("/in/a**")
