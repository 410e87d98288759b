"""The checker finds what leads nowhere, and the repository has none of it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.links import anchors, broken, links, pages

ROOT = Path(__file__).parents[2]
GOOD = """\
# A page & more

[itself](#a-page--more) [twice](#twice-1) [file](docs/other.md) [there](docs/other.md#how-it-ends_here)
[folder](docs) [`code`](/docs/other.md) [spaces](docs/with%20space.txt "a title") [net](https://example.com/x#y)
[![picture](docs/with%20space.txt)](docs/other.md) <a href="#own">own</a> [name][ref] <a id="own"></a>

`[code](nowhere.md)` and

```text
# No heading
[block](nowhere.md)
```

## Twice
## Twice

[ref]: docs/other.md
"""


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "other.md").write_text("## How it *ends*_here\n[back](../README.md#twice)\n")
    (tmp_path / "docs" / "with space.txt").write_text("x")
    (tmp_path / ".gitignore").write_text("out/\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "left.md").write_text("[not looked at](nowhere.md)")
    (tmp_path / "README.md").write_text(GOOD)
    return tmp_path


def found(root: Path) -> list[str]:
    return [problem for page in pages(root) for problem in broken(root, page)]


def test_good_links_pass(repository: Path) -> None:
    assert [page.name for page in pages(repository)] == ["README.md", "other.md"]
    assert found(repository) == []
    assert len(links(GOOD)) == 12


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ("[x](docs/othr.md)", "docs/othr.md: no such file in the repository"),
        ("![x](docs/picture.png)", "docs/picture.png: no such file in the repository"),
        ("[x](docs/other.md#how-it-begins)", "docs/other.md#how-it-begins: no such heading"),
        ("[x](#no-heading)", "#no-heading: no such heading"),
        ("[x](#twice-2)", "#twice-2: no such heading"),
        ("[x](../outside.md)", "../outside.md: no such file in the repository"),
        ("[x](out/left.md)", "out/left.md: no such file in the repository"),
        ("[x]: nowhere.md", "nowhere.md: no such file in the repository"),
        ('<img src="nowhere.png">', "nowhere.png: no such file in the repository"),
        ("[![x](docs/other.md)](nowhere.md)", "nowhere.md: no such file in the repository"),
    ],
)
def test_a_link_that_leads_nowhere_is_named(repository: Path, link: str, problem: str) -> None:
    (repository / "README.md").write_text(f"{GOOD}\n{link}\n")
    assert found(repository) == [f"README.md: {problem}"]


def test_markdown_cells_of_notebooks_are_looked_at(repository: Path) -> None:
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "[x](nowhere.md) [y](#title)"]},
        {"cell_type": "code", "source": ["z = '[x](elsewhere.md)'"]},
    ]
    (repository / "book.ipynb").write_text(json.dumps({"cells": cells}))
    assert found(repository) == ["book.ipynb: nowhere.md: no such file in the repository"]


def test_anchors_are_those_of_code_hosts() -> None:
    text = "# `_job/` and [a link](x.md)\n## It's 5.5 — or not?\n## It's 55  or not\n"
    assert anchors(text) == {"_job-and-a-link", "its-55--or-not", "its-55--or-not-1"}


def test_the_repositorys_links_lead_somewhere() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "tests.docs.links"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stderr) == (0, "")
