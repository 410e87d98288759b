"""How good labels are where the right ones are known: sums of a shard's rows, and what they come to.

Of each row with a label and a known answer: the likeliest choice, its probability (the confidence), and the
right choice. A row whose known answer is none of the choices is wrong, and its right choice has no name.
Whole numbers are added up over shards, so the order of the shards changes nothing; the confusion matrix is
carried by the names of those of its cells that have rows.
"""

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.reporting import label_measures, label_temperature
from pipeline.reporting.known_labels import meant
from pipeline.reporting.label_measures import BOUNDS, CELL, ONE

Counts = dict[str, int]


class LabelQuality:
    """Of one set of choices: those of the job, or of a question.

    column       the name of its labels, which begins the names of its sums: `label`
    temperature  that is applied to its probabilities
    """

    def __init__(self, column: str = "label", temperature: float = 1.0) -> None:
        self._begin = f"quality of {column}: "
        self._temperature = temperature

    def measured(self, probs: pa.ChunkedArray, answers: Sequence[Any]) -> Counts:
        """Sums of n rows: a column like `label_probs`, and the rows' known answers, null where there is none.

        All rows have the same choices, in the same order. Rows without probabilities are errors.
        """
        labelled = probs.is_valid().to_pylist()
        at = [row for row, answer in enumerate(answers) if labelled[row] and answer is not None]
        if not at:
            return {}
        taken = pc.list_flatten(probs.take(pa.array(at)))
        fields = pc.struct_field(taken, "prob"), pc.struct_field(taken, "label")
        matrix = fields[0].to_numpy(zero_copy_only=False).reshape(len(at), -1)  # [n, C]
        names = fields[1][: matrix.shape[1]].to_pylist()
        place = {name: number for number, name in enumerate(names)}
        labels = [names[choice] for choice in matrix.argmax(1).tolist()]
        right = [meant(answers[row], label, place) for row, label in zip(at, labels, strict=True)]
        sums: Counter[str] = Counter()
        for confidence, label, known in zip(matrix.max(1).tolist(), labels, right, strict=True):
            bound = BOUNDS[min(bisect_right(BOUNDS, confidence), len(BOUNDS) - 1) - 1]
            sums[f"rows from {bound:g}"] += 1
            sums[f"right from {bound:g}"] += label == known
            sums[f"confidence_q from {bound:g}"] += round(confidence * ONE)
            sums[f"{CELL} {json.dumps([known, label], ensure_ascii=False)}"] += 1
        chosen = [(row, place[known]) for row, known in enumerate(right) if known is not None]
        if chosen:
            rows, of_right = np.array(chosen).T
            slopes = label_temperature.slopes(matrix[rows], of_right, self._temperature)
            sums.update({f"slope {step}": slope for step, slope in enumerate(slopes)})
        return {self._begin + name: number for name, number in sums.items() if number}

    def report(self, totals: Mapping[str, int]) -> dict[str, Any] | None:
        """What the sums come to, for report.json; None without a row whose answer is known."""
        sums = {
            name.removeprefix(self._begin): number
            for name, number in totals.items()
            if name.startswith(self._begin)
        }
        bins = label_measures.bins(sums)
        rows = sum(one["rows"] for one in bins)
        if not rows:
            return None
        reliability = label_measures.reliability(bins)
        off = sum(one["rows"] * abs(one["accuracy"] - one["confidence"]) for one in reliability)
        steps = {step: sums.get(f"slope {step}", 0) for step in range(len(label_temperature.TEMPERATURES))}
        cells = label_measures.cells(sums)
        return {
            "rows": rows,
            "accuracy": sum(one["right"] for one in bins) / rows,
            "expected_calibration_error": off / rows,
            "temperature": self._temperature,
            "temperature_fitted": label_temperature.fitted(steps),
            "reliability": reliability,
            "thresholds": label_measures.thresholds(bins, rows),
            "classes": label_measures.classes(cells),
            "confusion": [
                {"known": known, "label": label, "rows": count} for (known, label), count in cells.items()
            ],
        }
