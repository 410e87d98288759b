"""What one published shard holds, in numbers that can be added up."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.task import Task

_MAY_LACK = ("measured", "computed")


@dataclass(frozen=True)
class ShardSummary:
    """`known` counts rows whose right answer is known, `right` the rows among them that got it."""

    rows: int
    errors: dict[str, int]  # by code
    prompt_tokens: int
    generated_tokens: int
    known: int
    right: int
    measured: dict[str, int] = field(default_factory=dict)  # what the task measures besides, by name
    computed: dict[str, int] = field(default_factory=dict)  # rows by the `Engine.path` that ran them, as JSON

    @staticmethod
    def total(summaries: Iterable["ShardSummary"]) -> "ShardSummary":
        """Add up the summaries one by one, so that memory does not grow with their number."""
        errors: Counter[str] = Counter()
        measured: Counter[str] = Counter()
        computed: Counter[str] = Counter()
        rows = prompt_tokens = generated_tokens = known = right = 0
        for summary in summaries:
            errors.update(summary.errors)
            rows += summary.rows
            prompt_tokens += summary.prompt_tokens
            generated_tokens += summary.generated_tokens
            known += summary.known
            right += summary.right
            measured.update(summary.measured)
            computed.update(summary.computed)
        return ShardSummary(
            rows, dict(errors), prompt_tokens, generated_tokens, known, right, dict(measured), dict(computed)
        )

    @property
    def rows_by_status(self) -> dict[str, int]:
        errors = sum(self.errors.values())
        return {"ok": self.rows - errors, "error": errors}

    @classmethod
    def of(cls, table: pa.Table, task: Task[Any], path: str | None = None) -> "ShardSummary":
        """Sum up a shard's finished rows; `path` is that of the engine that ran them."""
        known, right = task.known_and_right(table)
        return cls(
            rows=len(table),
            errors=dict(Counter(code for code in table["error_code"].to_pylist() if code is not None)),
            prompt_tokens=pc.sum(table["prompt_tokens"]).as_py() or 0,
            generated_tokens=pc.sum(table["generated_tokens"]).as_py() or 0 if task.generates else 0,
            known=known,
            right=right,
            measured=task.measure(table),
            computed={path: len(table)} if path else {},
        )

    def totals(self) -> dict[str, int]:
        """All numbers by name, as `Task.facts` takes them."""
        names = ("rows", "prompt_tokens", "generated_tokens", "known", "right")
        return {name: getattr(self, name) for name in names} | self.measured

    def to_json(self) -> dict[str, Any]:
        """The constructor's arguments; without `measured` and `computed` where they are empty."""
        return {name: value for name, value in asdict(self).items() if value or name not in _MAY_LACK}
