"""Which choice a known answer means, whatever its type."""

import pyarrow as pa
import pytest

from pipeline.reporting.known_labels import known_and_right, known_answers, meant


@pytest.mark.parametrize(
    ("answer", "label", "name"),
    [
        ("a", "b", "a"),
        (1, "b", "1"),
        (1.0, "b", "1"),
        (True, "b", "true"),
        ("c", "b", None),
        (2.5, "b", None),
        (1.0, "1.0", "1.0"),  # both names can be meant: the row's own goes first
    ],
)
def test_an_answer_means_the_choice_that_it_can_be_read_as(
    answer: object, label: str, name: str | None
) -> None:
    assert meant(answer, label, ["a", "b", "1", "1.0", "true"]) == name


def test_answers_that_did_not_fit_the_columns_type_are_found() -> None:
    rows = pa.table(
        {"gold": pa.array([1, None, None], pa.int64()), "kept_unfit": [None, '{"gold":"x"}', None]}
    )
    assert known_answers(rows, "gold") == [1, "x", None]
    assert known_and_right(["1", "y", "1"], [1, "x", None]) == (2, 1)
