"""What people read of how good labels are: lines, tables and pictures that match the figures."""

import base64
from typing import Any

import pyarrow as pa
import pytest

from pipeline.reporting.exhibit import Exhibit
from pipeline.reporting.label_exhibits import doubt, exhibits, facts
from pipeline.reporting.label_quality import LabelQuality

TYPE = pa.list_(pa.struct([("label", pa.string()), ("prob", pa.float64())]))


def quality(names: list[str], rows: list[tuple[int, float, str]]) -> Any:
    """Rows with the number of their label, its probability and their known label."""
    values = []
    for label, prob, _ in rows:
        rest = (1 - prob) / (len(names) - 1)
        values.append([{"label": n, "prob": prob if i == label else rest} for i, n in enumerate(names)])
    column = pa.chunked_array([pa.array(values, TYPE)])
    one = LabelQuality()
    return one.report(one.measured(column, [known for _, _, known in rows]))


FOUND = quality(
    ["$a$", "<b>", "c"],
    [(0, 0.95, "$a$"), (0, 0.9, "<b>"), (0, 0.7, "<b>"), (1, 0.8, "<b>"), (1, 0.6, "$a$"), (2, 0.5, "d")],
)


def test_the_lines_tell_the_error_and_what_would_fit() -> None:
    told = dict(facts(FOUND))
    assert told["accuracy on known labels"] == "33.33%"
    assert told["calibration error"].startswith(f"{FOUND['expected_calibration_error']:.3f} ")
    best = told["fitting temperature"]
    assert best == f"{FOUND['temperature_fitted']:.3g} (1 is applied)"
    right = quality(["a", "b"], [(0, 0.9, "a")])
    assert dict(facts(right))["fitting temperature"].startswith("none: ")


def test_tables_have_the_figures_of_the_report() -> None:
    sureness, confusion = exhibits(FOUND)
    assert sureness.lines[0] == ("0.5", "6", "100.00%", "33.33%")
    assert sureness.lines[-1] == ("0.95", "1", "16.67%", "100.00%")
    by_label = {line[0]: line[1:] for line in confusion.lines}
    assert by_label["<b>"] == ("3", "2", "50.00%", "33.33%", "$a$ (2)")
    assert by_label["$a$"] == ("2", "3", "33.33%", "50.00%", "<b> (1)")
    assert by_label["c"] == ("0", "1", "0.00%", "", "")
    assert "1 rows have a known label that is none of the choices" in confusion.text
    assert [one.title for one in exhibits(FOUND, "topic")] == [
        "How sure the labels of topic are",
        "Labels of topic beside the known ones",
    ]


def test_the_page_names_the_key_that_marks_rows_where_there_is_one() -> None:
    [text, of_classifier] = [
        exhibits(FOUND, "topic", review)[0].text for review in ("label.questions.topic.review_below", None)
    ]
    assert text.endswith(" From this you choose label.questions.topic.review_below.")
    assert "review_below" not in of_classifier


def test_known_labels_are_doubted_if_most_are_none_of_the_choices() -> None:
    assert doubt(FOUND, "classify.known_column") is None, "one of six"
    half = quality(["a", "b"], [(0, 0.9, "a"), (0, 0.9, "A")])
    assert doubt(half, "classify.known_column") is None
    most = quality(["a", "b"], [(0, 0.9, "a"), (0, 0.9, "A"), (1, 0.9, "B")])
    assert str(doubt(most, "classify.known_column")).startswith(
        "classify.known_column: of 3 known answers 2 are none of the choices, so that they count as wrong"
    )


def test_pictures_show_bars_line_and_matrix() -> None:
    sureness, confusion = exhibits(FOUND)
    assert sureness.figure is not None
    assert confusion.figure is not None
    reliability, shares, accuracies = sureness.figure.axes
    assert sorted(round(bar.get_height(), 6) for bar in reliability.patches) == sorted(
        round(one["accuracy"], 6) for one in FOUND["reliability"]
    )
    assert [bar.get_height() for bar in shares.patches] == [one["share"] for one in FOUND["thresholds"]]
    assert [*accuracies.lines[0].get_ydata()] == [one["accuracy"] for one in FOUND["thresholds"]]
    matrix = confusion.figure.axes[0].images[0].get_array()
    assert matrix is not None
    assert matrix.tolist() == [
        pytest.approx([1 / 3, 2 / 3, 0]), pytest.approx([1 / 2, 1 / 2, 0]), [0, 0, 0]
    ]  # fmt: skip
    for one in (sureness, confusion):
        assert one.png is not None
        assert base64.b64decode(one.png).startswith(b"\x89PNG")
    assert Exhibit("words alone").png is None


def test_of_many_labels_the_most_frequent_are_shown() -> None:
    names = [f"label {number}" for number in range(70)]
    found = quality(
        names, [(number, 0.6, names[number]) for number in range(70) for _ in range(1 + number % 3)]
    )
    _, confusion = exhibits(found)
    assert len(confusion.lines) == 50
    assert "50 most frequent; report.json has all" in confusion.text
    assert "shows the 20 most frequent of 70 labels" in confusion.text
    assert confusion.figure is not None
    assert confusion.figure.axes[0].images[0].get_array().shape == (20, 20)  # type: ignore[union-attr]
