"""The table of what is read names tests that there are."""

import ast
from pathlib import Path

from tests.docs.markdown import page, sections, table

ROOT = Path(__file__).parents[2]
ROWS = table(sections(page("checkpoints.md"))["What is read, and the test that shows it"])


def test_every_row_has_a_test() -> None:
    assert len(ROWS) > 20
    for row in ROWS:
        file, _, name = row["test"].strip("`").partition("::")
        tree = ast.parse((ROOT / file).read_text())
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, row


def test_no_row_stands_twice() -> None:
    assert len({row["what"] for row in ROWS}) == len(ROWS)
