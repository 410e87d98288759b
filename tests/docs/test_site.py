"""mkdocs.yml lists every page, and what links out of docs/ becomes something that the site can show."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from docs.outside_links import on_page_markdown
from tests.docs.markdown import DOCS

SITE = yaml.safe_load((DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8"))


def pages(nav: Any) -> list[str]:
    if isinstance(nav, str):
        return [nav]
    return [page for part in (nav.values() if isinstance(nav, dict) else nav) for page in pages(part)]


def test_every_page_is_in_the_navigation_once() -> None:
    listed = pages(SITE["nav"])
    assert sorted(listed) == sorted(str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md"))


def test_nothing_is_fetched_from_elsewhere() -> None:
    assert SITE["theme"]["font"] is False
    assert SITE["plugins"] == ["search"], "look at what another plugin loads before you add it"
    for hook in SITE["hooks"]:
        assert (DOCS.parent / hook).is_file()


@pytest.mark.parametrize(
    ("link", "without_repository", "with_repository"),
    [
        (
            "[the engine](../benchmarks/engine.md#cpu)",
            "the engine (`benchmarks/engine.md`)",
            "[the engine](https://host/us/mixtray/blob/main/benchmarks/engine.md#cpu)",
        ),
        (
            "[`model/engine.py`](../model/engine.py)",
            "`model/engine.py`",
            "[`model/engine.py`](https://host/us/mixtray/blob/main/model/engine.py)",
        ),
        (
            "![A map](../notebooks/a.png)",
            "![A map](outside/notebooks/a.png)",
            "![A map](outside/notebooks/a.png)",
        ),
        ("[output](output.md#rows)", "[output](output.md#rows)", "[output](output.md#rows)"),
    ],
)
def test_links_out_of_docs(link: str, without_repository: str, with_repository: str) -> None:
    for address, expected in ((None, without_repository), ("https://host/us/mixtray/", with_repository)):
        config = SimpleNamespace(repo_url=address)
        assert on_page_markdown(f"See {link}.", config=config) == f"See {expected}."


def test_pages_are_where_links_out_of_docs_are_looked_for() -> None:
    """They all lie in docs/ itself, so that ../ is the repository."""
    assert {page.parent for page in Path(DOCS).rglob("*.md")} == {DOCS}
