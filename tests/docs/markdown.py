"""What tests read of the pages in docs/: their tables, by heading."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
Row = dict[str, str]


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def sections(text: str) -> dict[str, str]:
    """What stands below each heading, up to the next of any level; by the heading without its backticks."""
    parts = re.split(r"^#+ (.+)$", text, flags=re.MULTILINE)
    names = [name.replace("`", "") for name in parts[1::2]]
    assert len(set(names)) == len(names), "two headings are the same"
    return dict(zip(names, parts[2::2], strict=True))


def table(text: str) -> list[Row]:
    """The rows of the one table in a text, each cell by its column's heading."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    head, rule, *rows = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]
    assert set("".join(rule)) == {"-"}
    return [dict(zip(head, row, strict=True)) for row in rows]


def types(text: str, key: str) -> dict[str, str]:
    """Of the one table in a text: the type of each name in column `key`, both without backticks."""
    return {row[key].strip("`"): row["type"].strip("`") for row in table(text)}
