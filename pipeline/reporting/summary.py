"""What one published shard holds, in numbers that can be added up."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True)
class ShardSummary:
    """`known` counts rows with a known answer, `right` those whose answer is that one."""

    rows: int
    errors: dict[str, int]  # by code
    prompt_tokens: int
    generated_tokens: int
    known: int
    right: int

    @staticmethod
    def total(summaries: Iterable["ShardSummary"]) -> "ShardSummary":
        """The sum of all, however many, in the memory of one."""
        errors: Counter[str] = Counter()
        rows = prompt_tokens = generated_tokens = known = right = 0
        for summary in summaries:
            errors.update(summary.errors)
            rows += summary.rows
            prompt_tokens += summary.prompt_tokens
            generated_tokens += summary.generated_tokens
            known += summary.known
            right += summary.right
        return ShardSummary(rows, dict(errors), prompt_tokens, generated_tokens, known, right)

    @property
    def rows_by_status(self) -> dict[str, int]:
        errors = sum(self.errors.values())
        return {"ok": self.rows - errors, "error": errors}

    @classmethod
    def of(cls, table: pa.Table, known_and_right: tuple[int, int] = (0, 0)) -> "ShardSummary":
        """Of a shard's rows of generations, whose known and right answers the task has counted."""
        known, right = known_and_right
        return cls(
            rows=len(table),
            errors=dict(Counter(code for code in table["error_code"].to_pylist() if code is not None)),
            prompt_tokens=pc.sum(table["prompt_tokens"]).as_py() or 0,
            generated_tokens=pc.sum(table["generated_tokens"]).as_py() or 0,
            known=known,
            right=right,
        )
