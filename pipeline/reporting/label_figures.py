"""Pictures of how good labels are, of what `LabelQuality.report` gives: for the report and for notebooks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from pipeline.errors import shortened
from pipeline.reporting.label_measures import TENTHS

MOST_CLASSES = 20  # that a confusion matrix is drawn of
_LONGEST_NAME = 22
_RIGHT, _SHARE, _PLAIN = "#2a6f97", "#e07a2f", "#888888"


def reliability_and_thresholds(quality: Mapping[str, Any]) -> Figure:
    """Left: how often labels of each confidence are right. Right: what is left above each confidence."""
    figure = Figure(figsize=(9.2, 3.8), layout="constrained")
    reliability, thresholds = figure.subplots(1, 2)
    _draw_reliability(reliability, quality["reliability"], quality["expected_calibration_error"])
    _draw_thresholds(thresholds, quality["thresholds"])
    return figure


def confusion_matrix(quality: Mapping[str, Any]) -> Figure:
    """Known labels down, given ones across: shares of each known label's rows, with the rows as numbers.

    Of at most MOST_CLASSES labels, those of most rows. Known answers that are no label are left out.
    """
    labels = [one["label"] for one in quality["classes"]][:MOST_CLASSES]
    place = {label: number for number, label in enumerate(labels)}
    counts = np.zeros((len(labels), len(labels)), dtype=np.int64)
    for cell in quality["confusion"]:
        if cell["known"] in place and cell["label"] in place:
            counts[place[cell["known"]], place[cell["label"]]] = cell["rows"]
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    side = 1.6 + 0.55 * len(labels)
    figure = Figure(figsize=(side + 1.2, side), layout="constrained")
    axis = figure.subplots()
    image = axis.imshow(shares, vmin=0, vmax=1, cmap="Blues")
    for (known, given), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[known, given] > 0.6 else "black"
            axis.text(given, known, f"{count:,}", ha="center", va="center", fontsize=8, color=colour)
    names = [shortened(" ".join(label.split()), _LONGEST_NAME) for label in labels]
    ticks = range(len(labels))
    axis.set_xticks(ticks, names, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
    axis.set_yticks(ticks, names, parse_math=False)
    axis.set_xlabel("label given", fontsize=9)
    axis.set_ylabel("known label", fontsize=9)
    axis.tick_params(labelsize=8, length=2)
    bar = figure.colorbar(image, ax=axis, format=PercentFormatter(1.0))
    bar.set_label("share of the known label's rows", fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def _draw_reliability(axis: Axes, bins: Sequence[Mapping[str, Any]], error: float) -> None:
    """Bars: the share of right rows of each tenth of confidence, as wide as the tenth; dots: at its mean."""
    rows = sum(one["rows"] for one in bins)
    width = TENTHS[1]
    for one in bins:
        middle = one["from"] + width / 2
        strength = 0.25 + 0.5 * one["rows"] / rows
        axis.bar(middle, one["accuracy"], width * 0.94, color=_RIGHT, alpha=strength)
        axis.text(middle, 0.015, f"{one['rows']:,}", ha="center", fontsize=7)
    axis.plot([0, 1], [0, 1], color=_PLAIN, linewidth=1, linestyle="--", label="as sure as right")
    means = [one["confidence"] for one in bins], [one["accuracy"] for one in bins]
    axis.plot(*means, "o", color=_SHARE, markersize=4, label="mean probability of a bar's rows")
    axis.set_title(f"Reliability: calibration error {error:.3f}", fontsize=10)
    axis.set_xlim(0, 1)
    axis.set_ylim(0, 1.08)
    axis.legend(fontsize=8, loc="upper left")
    _name(axis, "probability of the label", "share of right labels; in bars: rows")


def _draw_thresholds(axis: Axes, thresholds: Sequence[Mapping[str, Any]]) -> None:
    """Bars: the share of rows from each probability on; line: how many of them are right, on a scale."""
    places = range(len(thresholds))
    bars = axis.bar(places, [one["share"] for one in thresholds], 0.8, color=_SHARE, alpha=0.45)
    axis.set_xticks(places, [f"{one['from']:g}" for one in thresholds], rotation=90)
    axis.set_ylim(0, 1.08)
    right = axis.twinx()
    accuracies = [one["accuracy"] for one in thresholds]
    [line] = right.plot(places, accuracies, "o-", color=_RIGHT, markersize=3)
    least = np.floor(min(accuracies) * 20 - 0.5) / 20
    right.set_ylim(max(least, 0), 1 + 0.08 * (1 - max(least, 0)))
    axis.set_title("Rows from each probability on", fontsize=10)
    axis.legend(
        [bars, line], ["share of all rows (left)", "right of them (right)"], fontsize=8, loc="lower left"
    )
    _name(axis, "probability of the label, at least", "share of all rows")
    _name(right, "", "right of them")


def _name(axis: Axes, x: str, y: str) -> None:
    axis.set_xlabel(x, fontsize=9)
    axis.set_ylabel(y, fontsize=9)
    axis.yaxis.set_major_formatter(PercentFormatter(1.0))
    axis.tick_params(labelsize=8, length=2)
