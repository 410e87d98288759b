"""Summaries of shards add up, whatever the order."""

from itertools import permutations

import pyarrow as pa

from pipeline.reporting.summary import ShardSummary

ROWS = pa.table(
    {
        "error_code": pa.array([None, "EMPTY_LINE", None, "EMPTY_LINE", "NAN_LOGITS"]),
        "prompt_tokens": pa.array([5, None, 7, None, 2], pa.int32()),
        "generated_tokens": pa.array([3, None, 4, None, None], pa.int32()),
    }
)


def test_of_a_shards_rows() -> None:
    summary = ShardSummary.of(ROWS, known_and_right=(2, 1))
    assert summary == ShardSummary(5, {"EMPTY_LINE": 2, "NAN_LOGITS": 1}, 14, 7, 2, 1)
    assert summary.rows_by_status == {"ok": 2, "error": 3}
    assert ShardSummary.of(ROWS.slice(0, 0)) == ShardSummary(0, {}, 0, 0, 0, 0)


def test_sums_do_not_depend_on_the_order() -> None:
    parts = [
        ShardSummary.of(ROWS, (2, 1)),
        ShardSummary.of(ROWS.slice(0, 1), (1, 1)),
        ShardSummary.of(ROWS.slice(3)),
    ]
    totals = [ShardSummary.total(some) for some in permutations(parts)]
    assert all(total == totals[0] for total in totals)
    assert totals[0] == ShardSummary(8, {"EMPTY_LINE": 3, "NAN_LOGITS": 2}, 21, 10, 3, 2)
