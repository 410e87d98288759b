"""Task label: which answers count as known and right, and what the choices leave of the context."""

import math

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import ConfigError
from pipeline.tasks.label import Label, LabelRows, LabelSection, normalised

SECTION = {"choices": {"1": "1", "2": "2"}}
ROWS = pa.table({"label": ["1", "2", None, "1"], "gold": pa.array([1, 1, 2, None], pa.int64())})


def test_a_known_answer_is_compared_as_text_and_error_rows_do_not_count() -> None:
    assert Label(LabelSection(**SECTION, known_column="gold")).known_and_right(ROWS) == (2, 1)
    assert Label(LabelSection(**SECTION)).known_and_right(ROWS) == (0, 0)


def test_the_report_has_an_accuracy_where_answers_are_known() -> None:
    task = Label(LabelSection(**SECTION))
    assert task.facts({"known": 8, "right": 6}) == [("accuracy on known labels", "75.00%")]
    assert task.facts({"known": 0, "right": 0}) == []


def test_the_choices_leave_the_rest_of_the_context_to_the_prompt() -> None:
    rows = LabelRows({"long": [5, 6, 7, 8, 2], "short": [5, 2]})
    assert rows.longest_prompt(context=100) == 96, "the last token is predicted and never fed"
    assert rows.cache_tokens(context=100) == 0, "one pass reads nothing again"
    with pytest.raises(ConfigError, match=r"label\.choices: the longest takes 4 tokens, the context 4"):
        rows.longest_prompt(context=4)


@given(st.lists(st.floats(-1e4, 0.0), min_size=1, max_size=20))
def test_probabilities_sum_to_1_however_small_they_were(logprobs: list[float]) -> None:
    probabilities = normalised(logprobs)
    assert math.isclose(sum(probabilities), 1.0)
    assert probabilities[logprobs.index(max(logprobs))] == max(probabilities)
