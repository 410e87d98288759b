"""Task label: which answers count as known and right, and what the choices leave of the context."""

import math
from pathlib import Path

import mistral_common
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.requests.choice_scores import ChoiceScores, mass, normalised
from model.requests.request import Completion
from pipeline.errors import ConfigError
from pipeline.tasks.label import Label
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_rows import LabelRows
from pipeline.tasks.label_section import LabelSection
from pipeline.tasks.label_trust import PROBS
from pipeline.text.prompt_format import PlainFormat
from pipeline.text.tokenization import Tokenizer

FILES = Path(mistral_common.__file__).parent / "data"
PLAIN = PlainFormat(Tokenizer.load(FILES), frozenset({7}))
SECTION = {"choices": {"1": "1", "2": "2"}}


def known_and_right(labels: list[str | None], gold: pa.Array, unfit: list[str | None]) -> tuple[int, int]:
    """Of rows whose choices are these labels, each of which got its own."""
    names = sorted({label for label in labels if label})
    each = [[{"label": name, "prob": 0.5 + (name == label)} for name in names] for label in labels]
    probs = [of_row if label else None for of_row, label in zip(each, labels, strict=True)]
    unfit_ = pa.array(unfit, pa.string())
    rows = pa.table({"label_probs": pa.array(probs, PROBS), "gold": gold, "kept_unfit": unfit_})
    assert Label(LabelSection(**SECTION)).known_and_right(rows) == (0, 0)
    return Label(LabelSection(**SECTION, known_column="gold")).known_and_right(rows)


def test_a_known_answer_counts_whatever_its_type_and_error_rows_do_not_count() -> None:
    none: list[str | None] = [None] * 4
    assert known_and_right(["1", "2", None, "1"], pa.array([1, 1, 2, None]), none) == (2, 1)
    assert known_and_right(["1", "2", None, "1"], pa.array([1.0, 2.5, 2, None]), none) == (2, 1)
    assert known_and_right(["true", "True", "1"], pa.array([True, True, True]), none[:3]) == (3, 2)
    assert known_and_right(["x", "1"], pa.array([None, None], pa.int64()), ['{"gold":"x"}', '{"n":1}']) == (
        1,
        1,
    )


def test_the_report_has_an_accuracy_where_answers_are_known() -> None:
    task = Label(LabelSection(**SECTION, known_column="gold"))
    probs = [[{"label": "1", "prob": 0.75}, {"label": "2", "prob": 0.25}]] * 4
    rows = pa.table(
        {
            "label_probs": pa.array(probs, PROBS),
            "label_mass": [0.5] * 4,
            "gold": [1, 1, 2, 1],
            "kept_unfit": pa.array([None] * 4, pa.string()),
        }
    )
    assert dict(task.facts(task.measure(rows)))["accuracy on known labels"] == "75.00%"
    assert task.facts({}) == []


def test_the_mass_of_the_choices_is_told_and_a_tiny_one_is_warned_about() -> None:
    rows = LabelRows(PLAIN, Question(None, {"a": "good", "b": "bad"}))
    _, finish = rows.start("row", [1, 9], None)
    values = finish(Completion("row", [math.log(0.75), math.log(0.0625)], None)).values
    assert values["label_mass"] == pytest.approx(0.8125)
    assert values["label_probs"] == [
        {"label": "a", "prob": pytest.approx(12 / 13)}, {"label": "b", "prob": pytest.approx(1 / 13)}
    ]  # fmt: skip
    task = Label(LabelSection(**SECTION))
    usual, tiny = (
        {"known": 0, "right": 0} | task.measure(pa.table({"label_mass": masses}))
        for masses in ([0.98, None, 0.95, 1e-16], [math.exp(-37), 0.3, 0.002])
    )
    assert task.warnings(usual) == []
    assert task.report(usual)["label_mass"]["mean"] == pytest.approx(1.93 / 3)
    [warning] = task.warnings(tiny)
    assert "less than 0.01 of its probability" in warning
    [(name, fact)] = task.facts(tiny)
    assert (name, fact.partition(", ")[2]) == ("label mass", "median 0.001 to 0.01, 2 rows below 0.01")
    assert mass([math.log(0.6), math.log(0.4000001)]) == 1.0, "rounding makes no probability above 1"


def test_the_choices_leave_the_rest_of_the_context_to_the_prompt() -> None:
    rows = LabelRows(PLAIN, Question(None, {"long": "very very very bad", "short": "good"}))
    assert rows.longest_prompt(context=100) == 92, "4 tokens, and 4 for the prompt's last word"
    assert rows.cache_tokens(context=100) == 0, "one pass reads nothing again"
    with pytest.raises(ConfigError, match=r"label\.choices: the longest takes 8 tokens, the context 8"):
        rows.longest_prompt(context=8)


def test_the_scores_are_of_a_choice_and_then_of_any_end() -> None:
    request, _ = LabelRows(PLAIN, Question(None, {"good": "good", "bad": "bad"})).start(
        "row", [1, 5278], None
    )
    assert isinstance(request.readout, ChoiceScores)
    encode = PLAIN.tokenizer.encode
    assert request.readout.choices == [encode("good"), encode("bad")]
    assert request.readout.end_ids == [2, 7]


@given(st.lists(st.floats(-1e4, 0.0), min_size=1, max_size=20))
def test_probabilities_sum_to_1_however_small_they_were(logprobs: list[float]) -> None:
    probabilities = normalised(logprobs)
    assert math.isclose(sum(probabilities), 1.0)
    assert probabilities[logprobs.index(max(logprobs))] == max(probabilities)
