"""What a question makes of its choices' log-probabilities, and what is reported of it."""

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.tasks.label import Label
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_section import LabelSection
from pipeline.tasks.label_trust import LabelTrust


def known(name: str, levels: Sequence[str] = ()) -> LabelTrust:
    keys = SimpleNamespace(known_column="known", calibrate=None, temperature=1.0, review_below=None)
    return LabelTrust(keys, name, levels)  # type: ignore[arg-type]


LEVELS = {"calm": "calm", "annoyed": "annoyed", "furious": "furious"}
TOPIC = Question("topic", {"a": "first", "b": "second"}, trust=known("topic"))
URGENT = Question("urgent", {"true": "yes", "false": "no"}, "predicate", known("urgent"))
ANGER = Question("anger", LEVELS, "score", known("anger", [*LEVELS]))
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
    ],
    ids=str,
)
def test_known_answers_are_those_of_the_question(question: Question, known: pa.Array) -> None:
    logs = LOGS if len(question.choices) == 2 else [*LOGS, math.log(0.01)]
    rows = table(question, [logs, logs, logs, None], known)
    assert question.known_and_right(rows) == (2, 1)
    totals = question.measure(rows)
    assert totals.items() >= {f"{question.name} known": 2, f"{question.name} right": 1}.items()
    assert question.facts(totals)[0] == (f"accuracy on known labels of {question.name}", "50.00%")
    assert question.report(totals)["accuracy"] == 0.5
    assert question.report(totals)["label_mass"]["mean"] == pytest.approx(0.4, abs=0.02)


def test_the_report_tells_of_each_question() -> None:
    ask: dict[str, Any] = {"type": "predicate", "instructions": "?"}
    task = Label(
        LabelSection.model_validate({"questions": {"a": ask | {"known_column": "known"}, "a_b": ask}})
    )
    assert [name for name, _ in task.columns] == [
        f"label_{name}{end}" for name in ("a", "a_b") for end in ("", "_prob", "_probs", "_mass")
    ]
    tiny = [math.log(1e-5), math.log(1e-6)]
    a, b = (Question(name, {"true": "yes", "false": "no"}, "predicate") for name in ("a", "a_b"))
    rows = table(a, [LOGS, LOGS], pa.array([True, False]))
    of_b = table(b, [tiny, tiny], pa.array([True, False]))
    for name, _ in b.columns:
        rows = rows.append_column(name, of_b[name])
    totals = {"rows": 2, "known": 2, "right": 1} | task.measure(rows)
    assert task.known_and_right(rows) == (2, 1)
    assert [name for name, _ in task.facts(totals)] == [
        "accuracy on known labels of a", "label mass of a", "label mass of a_b"
    ]  # fmt: skip
    report = task.report(totals)
    assert report.keys() == {*task.report_keys} == {"questions"}
    assert report["questions"]["a"]["accuracy"] == 0.5
    assert report["questions"]["a_b"] | {"label_mass": 0} == {"known": 0, "accuracy": None, "label_mass": 0}
    [warning] = task.warnings(totals)
    assert "column label_a_b_mass" in warning
