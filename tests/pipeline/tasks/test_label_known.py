"""Which choice a known answer means; what is made of it in a report, the questions' own tests hold."""

import pytest

from pipeline.reporting.known_labels import meant
from pipeline.tasks.label_known import choice_meant

NAMED = {"1": "one", "two": "2", "other": "1"}


@pytest.mark.parametrize(
    ("answer", "name"), [("one", "1"), (2, "two"), (2.0, "two"), ("2", "two"), ("x", "x"), (3, 3)]
)
def test_an_answer_that_is_no_name_may_be_a_text(answer: object, name: object) -> None:
    assert choice_meant(answer, NAMED) == name
    assert choice_meant(answer, {}) == answer, "nothing else is known of a classifier's labels"


def test_a_name_goes_before_a_text() -> None:
    assert choice_meant(1, NAMED) == 1
    assert meant(1, "two", NAMED) == "1"


@pytest.mark.parametrize("number", ["1", "-2", "3.5", "1e3"])
def test_levels_are_counted_only_where_none_is_a_number(number: str) -> None:
    assert choice_meant(0, {"calm": "calm", "angry": "angry"}, "score") == "calm"
    for texts in ({"calm": "calm", number: "angry"}, {"calm": "calm", "angry": number}):
        assert choice_meant(0, texts, "score") == 0
    assert choice_meant(0, {"nan": "nan", "inf": "inf"}, "score") == "nan", "these are words"
