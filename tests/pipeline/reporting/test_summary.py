"""Summaries of shards add up, whatever the order."""

import json
from itertools import permutations

import pyarrow as pa

from pipeline.reporting.summary import ShardSummary
from pipeline.tasks.generate import Generate, GenerationSection

ROWS = pa.table(
    {
        "error_code": pa.array([None, "EMPTY_LINE", None, "EMPTY_LINE", "NAN_LOGITS"]),
        "prompt_tokens": pa.array([5, None, 7, None, 2], pa.int32()),
        "generated_tokens": pa.array([3, None, 4, None, None], pa.int32()),
    }
)


class Half(Generate):
    """Knows an answer for every row, and says that every second one is right."""

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        return len(rows), len(rows) // 2

    def measure(self, rows: pa.Table) -> dict[str, int]:
        return {"seen": len(rows)}


def test_of_a_shards_rows() -> None:
    summary = ShardSummary.of(ROWS, Half(GenerationSection()))
    assert summary == ShardSummary(5, {"EMPTY_LINE": 2, "NAN_LOGITS": 1}, 14, 7, 5, 2, {"seen": 5})
    assert summary.rows_by_status == {"ok": 2, "error": 3}
    assert summary.totals() == {
        "rows": 5, "prompt_tokens": 14, "generated_tokens": 7, "known": 5, "right": 2, "seen": 5
    }  # fmt: skip
    assert ShardSummary(**json.loads(json.dumps(summary.to_json()))) == summary


def test_what_no_task_measures_is_not_written_as_in_older_parts() -> None:
    summary = ShardSummary.of(ROWS.slice(0, 0), Generate(GenerationSection()))
    names = ["rows", "errors", "prompt_tokens", "generated_tokens", "known", "right"]
    assert list(summary.to_json()) == names
    assert ShardSummary(**summary.to_json()) == ShardSummary(0, {}, 0, 0, 0, 0)


def test_sums_do_not_depend_on_the_order() -> None:
    task = Half(GenerationSection())
    parts = [ShardSummary.of(rows, task) for rows in (ROWS, ROWS.slice(0, 1), ROWS.slice(3))]
    totals = [ShardSummary.total(some) for some in permutations(parts)]
    assert all(total == totals[0] for total in totals)
    errors = {"EMPTY_LINE": 3, "NAN_LOGITS": 2}
    assert totals[0] == ShardSummary(8, errors, 21, 10, known=8, right=3, measured={"seen": 8})
