"""What the sums of `LabelQuality` come to: reliability, thresholds, confusion matrix, precision, recall."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

# Bounds of the bins of confidence. A bin holds its lower bound, the last one also 1.
BOUNDS = (*(step / 20 for step in range(20)), 0.96, 0.97, 0.98, 0.99, 0.995, 0.999, 1.0)
TENTHS = tuple(step / 10 for step in range(11))  # of the reliability diagram and its calibration error
ONE = 2**32  # in sums of confidences
CELL = "cell"  # begins the names of the confusion matrix's sums

Cells = dict[tuple[str | None, str], int]  # rows by known and given label


def bins(sums: Mapping[str, int]) -> list[dict[str, Any]]:
    """Those that have rows, ascending."""
    return [
        {
            "from": low,
            "rows": sums[f"rows from {low:g}"],
            "right": sums.get(f"right from {low:g}", 0),
            "confidence": sums.get(f"confidence_q from {low:g}", 0) / ONE,  # a sum
        }
        for low in BOUNDS[:-1]
        if f"rows from {low:g}" in sums
    ]


def reliability(bins: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Bins of a tenth: mean confidence beside the share of right rows (Guo et al. 2017, section 2)."""
    found = []
    for low, high in pairwise(TENTHS):
        within = [one for one in bins if low <= one["from"] < high]
        if rows := sum(one["rows"] for one in within):
            confidence, right = (sum(one[key] for one in within) for key in ("confidence", "right"))
            found.append(
                {
                    "from": low,
                    "to": high,
                    "rows": rows,
                    "confidence": confidence / rows,
                    "accuracy": right / rows,
                }
            )
    return found


def thresholds(bins: Sequence[Mapping[str, Any]], rows: int) -> list[dict[str, Any]]:
    """Of the rows from each confidence on: their share of all, and how many of them are right."""
    found, above, right = [], 0, 0
    for one in reversed(bins):
        above, right = above + one["rows"], right + one["right"]
        found.append({"from": one["from"], "rows": above, "share": above / rows, "accuracy": right / above})
    return found[::-1]


def cells(sums: Mapping[str, int]) -> Cells:
    """The confusion matrix, known and given label, most rows first."""
    cells = {
        tuple(json.loads(name.removeprefix(CELL))): count
        for name, count in sums.items()
        if name.startswith(CELL)
    }
    return dict(sorted(cells.items(), key=lambda cell: (-cell[1], str(cell[0]))))


def classes(cells: Cells) -> list[dict[str, Any]]:
    """Of each label that was known or given: its rows, precision and recall; those of most rows first."""
    known: Counter[str] = Counter()
    given: Counter[str] = Counter()
    for (answer, label), count in cells.items():
        given[label] += count
        if answer is not None:
            known[answer] += count
    labels = sorted({*known, *given}, key=lambda label: (-known[label], -given[label], label))
    return [
        {
            "label": label,
            "known": known[label],
            "given": given[label],
            "precision": cells.get((label, label), 0) / given[label] if given[label] else None,
            "recall": cells.get((label, label), 0) / known[label] if known[label] else None,
        }
        for label in labels
    ]
