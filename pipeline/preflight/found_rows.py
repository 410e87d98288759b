"""What is wrong with prepared rows: one sentence for each kind, with the first row that has it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import pyarrow as pa

from pipeline.errors import shown

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FoundRows:
    code: str | None  # of an error; None: a notice
    rows: int  # that have it
    message: str  # of the first of them
    file: str
    row: int

    def __str__(self) -> str:
        what = f"{self.rows:,} {self.code}" if self.code else f"{self.rows:,}"
        where = f"{shown(self.file)}, row {self.row}"
        return f"{what} ({'first: ' if self.rows > 1 else ''}{where}): {self.message}"


def found_errors(prepared: Iterable[pa.Table]) -> list[FoundRows]:
    """One for each error code."""
    return [*_found(prepared, "error_code", "error_message").values()]


def found_notices(prepared: Iterable[pa.Table]) -> list[FoundRows]:
    """One for each notice of a prompt: see `pipeline.text.prompts.Prompt`."""
    return [replace(found, code=None) for found in _found(prepared, "notice", "notice").values()]


def warn_of_notices(prepared: pa.Table) -> None:
    """Of the rows of a job's first shard, which are prepared before any other."""
    for found in found_notices([prepared]):
        logger.warning(
            "%d of the first %d rows: %s (%s, row %d for one)",
            found.rows,
            len(prepared),
            found.message,
            shown(found.file),
            found.row,
        )


def _found(prepared: Iterable[pa.Table], kind: str, message: str) -> dict[str, FoundRows]:
    found: dict[str, FoundRows] = {}
    for table in prepared:
        rows = table.filter(table[kind].is_valid())
        columns = [rows[name].to_pylist() for name in (kind, message, "file", "row")]
        for of_row in zip(*columns, strict=True):
            first = found.setdefault(of_row[0], FoundRows(of_row[0], 0, *of_row[1:]))
            found[of_row[0]] = replace(first, rows=first.rows + 1)
    return found
