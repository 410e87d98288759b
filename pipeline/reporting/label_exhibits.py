"""What the report tells people of how good labels are, from what `LabelQuality.report` gives."""

from collections.abc import Mapping
from typing import Any

from pipeline.errors import shortened
from pipeline.reporting.exhibit import Exhibit

_MOST_LINES = 50  # of a table
_LONGEST_NAME = 60


def facts(quality: Mapping[str, Any], question: str = "") -> list[tuple[str, str]]:
    """In a line each."""
    error = quality["expected_calibration_error"]
    of = f" of {question}" if question else ""
    begin = f"{question}: " if question else ""
    best, applied = quality["temperature_fitted"], quality["temperature"]
    fits = "none: all labels are right, or chance is no worse" if best is None else f"{best:.3g}"
    return [
        (f"accuracy on known labels{of}", f"{quality['accuracy']:.2%}"),
        (f"{begin}calibration error", f"{error:.3f} between probability and accuracy, on average"),
        (f"{begin}fitting temperature", f"{fits} ({applied:g} is applied)"),
    ]


def doubt(quality: Mapping[str, Any], key: str) -> str | None:
    """The warning, if most known answers are none of the choices; `key` is that of their column."""
    rows, lost = quality["rows"], _lost(quality)
    if 2 * lost <= rows:
        return None
    return (
        f"{key}: of {rows:,} known answers {lost:,} are none of the choices, so that they count as wrong: "
        "write them as the choices are named; docs/labelling.md#how-good-is-it says what else is understood"
    )


def exhibits(quality: Mapping[str, Any], question: str = "", review: str | None = None) -> list[Exhibit]:
    """Pictures and tables for the page; `review` is the key of the job file by which rows are marked."""
    of = f" of {question}" if question else ""
    return [_sureness(quality, of, review), _confusion(quality, of)]


def _lost(quality: Mapping[str, Any]) -> int:
    """Rows whose known label is none of the choices."""
    return sum(cell["rows"] for cell in quality["confusion"] if cell["known"] is None)


def _sureness(quality: Mapping[str, Any], of: str, review: str | None) -> Exhibit:
    from pipeline.reporting.label_figures import reliability_and_thresholds  # matplotlib takes a while

    return Exhibit(
        title=f"How sure the labels{of} are",
        text=f"Of {quality['rows']:,} rows with a known label. Left: rows by the probability of their label; "
        "a bar shows how many of them are right. Where labels are as sure as they are right, bars end on the "
        "dashed line; below it the model is too sure. Right, and in the table: which share of the rows is "
        "left if only those of at least that probability are taken, and how many of them are right."
        + (f" From this you choose {review}." if review else ""),
        figure=reliability_and_thresholds(quality),
        alt="Reliability diagram, and accuracy and share of rows above each probability",
        head=("probability from", "rows", "share of rows", "right"),
        lines=[
            (f"{one['from']:g}", f"{one['rows']:,}", f"{one['share']:.2%}", f"{one['accuracy']:.2%}")
            for one in quality["thresholds"]
        ],
    )


def _confusion(quality: Mapping[str, Any], of: str) -> Exhibit:
    from pipeline.reporting.label_figures import MOST_CLASSES, confusion_matrix

    classes = quality["classes"]
    lost = _lost(quality)
    text = (
        "Precision: of the rows that got a label, how many have it as their known one. Recall: of the rows "
        "with that known label, how many got it."
    )
    if lost:
        text += f" {lost:,} rows have a known label that is none of the choices; they count as wrong."
    if len(classes) > MOST_CLASSES:
        text += f" The picture shows the {MOST_CLASSES} most frequent of {len(classes):,} labels."
    if len(classes) > _MOST_LINES:
        text += f" The table has the {_MOST_LINES} most frequent; report.json has all."
    return Exhibit(
        title=f"Labels{of} beside the known ones",
        text=text,
        figure=confusion_matrix(quality),
        alt="Confusion matrix of known and given labels",
        head=("label", "known", "given", "precision", "recall", "most often taken for"),
        lines=[
            (
                shortened(one["label"], _LONGEST_NAME),
                f"{one['known']:,}",
                f"{one['given']:,}",
                _share(one["precision"]),
                _share(one["recall"]),
                _taken_for(quality, one["label"]),
            )
            for one in classes[:_MOST_LINES]
        ],
    )


def _taken_for(quality: Mapping[str, Any], label: str) -> str:
    """The wrong label that most of a known label's rows got; cells stand with most rows first."""
    for cell in quality["confusion"]:
        if cell["known"] == label != cell["label"]:
            return f"{shortened(cell['label'], _LONGEST_NAME)} ({cell['rows']:,})"
    return ""


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"
