import pytest

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
    ],
)
def test_folders_that_cannot_match_are_not_entered(pattern: str, folder: str, leads: bool) -> None:
    assert GlobPattern(pattern).leads_through(folder) == leads


def test_it_matches_as_fsspec_does() -> None:
    pattern = GlobPattern("/in/[ab]?/*.jsonl")
    assert pattern.base == "/in"
    assert pattern.matches("/in/ax/new\nline.jsonl")
    assert not pattern.matches("/in/ax/deep/1.jsonl")
    with pytest.raises(ValueError, match="entire path component"):
        GlobPattern("/in/a**")
