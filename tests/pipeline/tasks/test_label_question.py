"""What a question makes of its choices' log-probabilities, and what is reported of it."""

import math
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tasks.label import Label
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_question_section import QuestionSection
from pipeline.tasks.label_section import LabelSection


def asked(name: str, **keys: Any) -> Question:
    section = QuestionSection.model_validate({"instructions": "?", "known_column": "known", **keys})
    return Question.of(name, section)


TOPIC = asked("topic", choices={"a": "first", "b": "second"})
URGENT = asked("urgent", type="predicate")
ANGER = asked("anger", type="score", levels=["calm", "annoyed", "furious"])
STARS = asked("stars", type="score", levels=["1", "2", "3"])
LOGS = [math.log(0.1), math.log(0.3)]


def table(question: Question, rows: list[list[float] | None], known: pa.Array) -> pa.Table:
    values = [question.values(logprobs) if logprobs else {} for logprobs in rows]
    schema = pa.schema(question.columns)
    unfit = pa.array([None] * len(rows), pa.string())
    return (
        pa.Table.from_pylist(values, schema).append_column("known", known).append_column("kept_unfit", unfit)
    )


def test_each_type_has_its_columns() -> None:
    assert TOPIC.values(LOGS) == {
        "label_topic": "b",
        "label_topic_prob": pytest.approx(0.75),
        "label_topic_probs": [
            {"label": "a", "prob": pytest.approx(0.25)}, {"label": "b", "prob": pytest.approx(0.75)}
        ],
        "label_topic_mass": pytest.approx(0.4),
    }  # fmt: skip
    urgent = URGENT.values(LOGS)
    assert (urgent["label_urgent"], urgent["label_urgent_prob"]) == (False, pytest.approx(0.25))
    anger = ANGER.values([math.log(0.2), math.log(0.1), math.log(0.1)])
    assert (anger["label_anger"], anger["label_anger_prob"]) == (pytest.approx(0.75), pytest.approx(0.5))
    kinds = {"topic": pa.string(), "urgent": pa.bool_(), "anger": pa.float64()}
    for question in (TOPIC, URGENT, ANGER):
        first, *others = [kind for _, kind in question.columns]
        assert first == kinds[question.name or ""]
        assert others == [kind for _, kind in Label.columns][1:], "as of a label"
    assert TOPIC.key == "label.questions.topic.choices"
    assert ANGER.key == "label.questions.anger.levels"


@given(st.lists(st.floats(-50, 0), min_size=3, max_size=3))
def test_the_expected_level_lies_between_the_lowest_and_the_highest(logprobs: list[float]) -> None:
    values = ANGER.values(logprobs)
    probs = [one["prob"] for one in values["label_anger_probs"]]
    assert values["label_anger"] == pytest.approx(probs[1] + 2 * probs[2])
    assert -1e-9 <= values["label_anger"] <= 2 + 1e-9


@pytest.mark.parametrize(
    ("question", "known"),
    [
        (TOPIC, pa.array(["b", "a", None, "b"])),
        (URGENT, pa.array([False, True, None, True])),
        (URGENT, pa.array(["false", "true", None, "true"])),
        (ANGER, pa.array(["annoyed", "calm", None, "x"])),
        (ANGER, pa.array([1, 0, None, 2])),
        (ANGER, pa.array([1.0, 0.5, None, 0.0])),
        (TOPIC, pa.array(["second", "first", None, "b"])),
        (URGENT, pa.array(["No", "yes", None, "yes"])),
        (URGENT, pa.array([0, 1, None, 1])),
        (URGENT, pa.array([0.0, 1.0, None, 1.0])),
        (URGENT, pa.array(["FALSE", "True", None, "true"])),
        (STARS, pa.array([2, 1, None, 3])),
        (STARS, pa.array([2.0, 0.0, None, 3.0])),
    ],
    ids=str,
)
def test_known_answers_are_those_of_the_question(question: Question, known: pa.Array) -> None:
    logs = LOGS if len(question.choices) == 2 else [*LOGS, math.log(0.01)]
    rows = table(question, [logs, logs, logs, None], known)
    assert question.known_and_right(rows) == (2, 1)
    totals = question.measure(rows)
    assert question.facts(totals)[0] == (f"accuracy on known labels of {question.name}", "50.00%")
    report = question.report(totals)
    assert (report["known"], report["accuracy"]) == (2, 0.5)
    assert report["label_quality"]["accuracy"] == 0.5
    assert report["label_mass"]["mean"] == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("question", "answers", "meant"),
    [
        (TOPIC, ["a", "second", "third"], ["a", "b", None]),
        (URGENT, [True, "yes", 1, 1.0, "TRUE"], ["true"] * 5),
        (URGENT, [False, "no", 0, 0.0, "False", "NO", 2, "y"], ["false"] * 6 + [None] * 2),
        (ANGER, [0, 1.0, "2", "calm", 3, -1, 0.5], ["calm", "annoyed", "furious", "calm", None, None, None]),
        (STARS, [0, 1, 2.0, "3", 2.5], [None, "1", "2", "3", None]),
        (asked("s", type="score", levels={"low": "1", "high": "2"}), [0, 1, 2], [None, "low", "high"]),
        (
            asked("p", type="predicate", choices={"true": "0", "false": "1"}),
            [0, 1, True, "false"],
            ["true", "false", "true", "false"],
        ),
    ],
)
def test_which_choice_a_known_answer_means(question: Question, answers: list[Any], meant: list[Any]) -> None:
    for answer, name in zip(answers, meant, strict=True):
        rows = table(question, [[math.log(0.1)] * len(question.choices)], pa.array([answer]))
        [cell] = question.report(question.measure(rows))["label_quality"]["confusion"]
        assert cell["known"] == name


def test_most_known_answers_that_mean_nothing_are_warned_about() -> None:
    for answers, doubtful in ((["x", "y", "yes"], True), (["x", "yes", "no", "y"], False)):
        rows = table(URGENT, [LOGS] * len(answers), pa.array(answers))
        warnings = URGENT.warnings(URGENT.measure(rows))
        assert bool(warnings) == doubtful
    rows = table(URGENT, [LOGS] * 3, pa.array(["x", "y", "yes"]))
    [warning] = URGENT.warnings(URGENT.measure(rows))
    assert warning.startswith("label.questions.urgent.known_column: of 3 known answers 2 are none of the ch")


def test_the_report_tells_of_each_question() -> None:
    ask: dict[str, Any] = {"type": "predicate", "instructions": "?"}
    task = Label(
        LabelSection.model_validate({"questions": {"a": ask | {"known_column": "known"}, "a_b": ask}})
    )
    assert [name for name, _ in task.columns] == [
        f"label_{name}{end}" for name in ("a", "a_b") for end in ("", "_prob", "_probs", "_mass")
    ]
    tiny = [math.log(1e-5), math.log(1e-6)]
    a, b = (asked(name, type="predicate") for name in ("a", "a_b"))
    rows = table(a, [LOGS, LOGS], pa.array([True, False]))
    of_b = table(b, [tiny, tiny], pa.array([True, False]))
    for name, _ in b.columns:
        rows = rows.append_column(name, of_b[name])
    assert task.known_and_right(rows) == (0, 0), "none of all questions together"
    totals = {"rows": 2, "known": 0, "right": 0} | task.measure(rows)
    assert [name for name, _ in task.facts(totals)] == [
        "accuracy on known labels of a",
        "a: calibration error",
        "a: fitting temperature",
        "label mass of a",
        "label mass of a_b",
    ]
    report = task.report(totals)
    assert report.keys() == {*task.report_keys} == {"questions", "needs_review"}
    assert report["questions"]["a"]["accuracy"] == 0.5
    of_b = report["questions"]["a_b"]
    assert (of_b["known"], of_b["accuracy"], of_b["label_quality"]) == (0, None, None)
    [warning] = task.warnings(totals)
    assert "column label_a_b_mass" in warning
