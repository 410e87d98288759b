"""What the keys about trust do in a job and in a question: columns, sums, lines, and what is refused."""

import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
import yaml

from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.reporting.summary import ShardSummary
from pipeline.tasks.label import Label
from pipeline.tasks.label_calibration import CalibrateSection
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_section import LabelSection
from pipeline.tasks.label_trust import NEEDS_REVIEW, PROBS, LabelTrust, review_fact, reviewed

KEYS = {"known_column": "gold", "calibrate": None, "temperature": 1.0, "review_below": None}


def rows(column: str, sure: list[float | None], gold: list[str | None]) -> pa.Table:
    """Rows whose labels are `a`, with these probabilities, and what they should be; None: an error row."""
    probs = [
        None if one is None else [{"label": "a", "prob": one}, {"label": "b", "prob": 1 - one}]
        for one in sure
    ]
    return pa.table(
        {
            column: pa.array([None if one is None else "a" for one in sure], pa.string()),
            f"{column}_probs": pa.array(probs, PROBS),
            "label_mass": pa.array(sure, pa.float64()),
            "gold": pa.array(gold, pa.string()),
            "kept_unfit": pa.array([None] * len(sure), pa.string()),
            "error_code": pa.array(["NULL_PROMPT" if one is None else None for one in sure], pa.string()),
            "prompt_tokens": pa.array([None if one is None else 3 for one in sure], pa.int32()),
            NEEDS_REVIEW[0]: pa.array([None if one is None else one < 0.8 for one in sure], pa.bool_()),
        }
    )


def test_a_job_s_report_has_it_all() -> None:
    section = LabelSection(choices={"a": "a", "b": "b"}, known_column="gold", review_below=0.8)
    task = Label(section)
    shards = [
        rows("label", [0.9, 0.7, None], ["a", "a", "a"]), rows("label", [0.6, 0.95], ["b", None])
    ]  # fmt: skip
    totals = ShardSummary.total(ShardSummary.of(shard, task) for shard in shards).totals()
    found = task.report(totals)
    assert found["needs_review"] == 2
    assert found["label_quality"]["rows"] == 3
    assert found["label_quality"]["accuracy"] == pytest.approx(totals["right"] / totals["known"])
    facts = dict(task.facts(totals))
    assert facts["needs review"] == "2 rows (40.00%)"
    assert facts["accuracy on known labels"] == "66.67%"
    assert "calibration error" in facts
    assert [one.figure is not None for one in task.exhibits(totals)] == [True, True]


def test_a_job_without_known_labels_reports_none_of_it() -> None:
    task = Label(LabelSection(choices={"a": "a", "b": "b"}))
    totals = ShardSummary.of(rows("label", [0.9], ["a"]).drop_columns(["needs_review"]), task).totals()
    assert task.report(totals)["label_quality"] is task.report(totals)["needs_review"] is None
    assert task.exhibits(totals) == []
    assert [name for name, _ in task.facts(totals)] == ["label mass"]


def test_each_question_has_its_own_columns_sums_and_lines() -> None:
    topic, urgent = (
        LabelTrust(SimpleNamespace(**KEYS | keys), name)  # type: ignore[arg-type]
        for name, keys in (("topic", {"temperature": 2.0}), ("urgent", {"calibrate": CalibrateSection()}))
    )
    assert [*topic.columns, *urgent.columns] == [
        ("label_topic_probs_raw", PROBS), ("label_urgent_probs_raw", PROBS)
    ]  # fmt: skip
    of_topic, of_urgent = rows("label_topic", [0.9, 0.8], ["a", "b"]), rows("label_urgent", [0.9], ["b"])
    totals = topic.measured(of_topic) | urgent.measured(of_urgent)
    one, other = topic.report(totals), urgent.report(totals)
    assert one is not None
    assert other is not None
    assert (one["rows"], one["accuracy"], one["temperature"]) == (2, 0.5, 2.0)
    assert (other["rows"], other["accuracy"], other["temperature"]) == (1, 0.0, 1.0)
    assert [name for name, _ in topic.facts(totals)] == [
        "accuracy on known labels of topic", "topic: calibration error", "topic: fitting temperature"
    ]  # fmt: skip
    assert topic.known_and_right(of_topic) == (2, 1)


def test_a_row_needs_review_if_its_likeliest_choice_is_not_sure_enough() -> None:
    keys = SimpleNamespace(**KEYS | {"review_below": 0.9})
    question = Question("a", {"true": "yes", "false": "no"}, "predicate", LabelTrust(keys, "a"))  # type: ignore[arg-type]
    assert question.is_unsure(question.values([math.log(0.2), math.log(0.8)]))
    assert not question.is_unsure(question.values([math.log(0.05), math.log(0.95)]))
    assert not Question("b", {"x": "x", "y": "y"}).is_unsure({}), "nobody asks for a review"
    assert reviewed(pa.table({"id": ["x"]})) == {}
    assert review_fact({"rows": 3}) == []
    assert review_fact({"rows": 0, "needs_review": 0}) == []


@pytest.mark.parametrize(
    ("label", "sentence"),
    [
        ({"temperature": 0}, "label.temperature"),
        ({"temperature": -1.5}, "label.temperature"),
        ({"temperature": float("inf")}, "label.temperature"),
        ({"temperature": True}, "label.temperature"),
        ({"calibrate": {"prior": []}}, "label.calibrate.prior"),
        ({"calibrate": {"prior": ["N/A", "N/A"]}}, "N/A is named twice"),
        ({"calibrate": {"priors": ["N/A"]}}, "label.calibrate.priors"),
        ({"review_below": -0.1}, "label.review_below"),
        ({"review_below": 1.1}, "label.review_below"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(label: Any, sentence: str, tmp_path: Path) -> None:
    job = {
        "job": "x",
        "task": "label",
        "model": {"path": "m"},
        "input": {"path": "i.jsonl", "prompt": {"column": "c"}},
        "label": {"choices": ["a", "b"]} | label,
        "output": {"path": "o"},
    }
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))
    with pytest.raises(ConfigError, match=sentence.replace(".", r"\.")) as raised:
        JobConfig.load(tmp_path / "job.yaml")
    assert raised.value.exit_code == 2


def test_kept_columns_cannot_have_the_names_of_its_columns(make_config: Callable[..., JobConfig]) -> None:
    from pipeline.preflight.job import check_job

    def job(**label: Any) -> JobConfig:
        return make_config(
            [{"text": "x", "needs_review": 1}],
            task="label",
            prompt={"column": "text"},
            input={"keep": ["needs_review"]},
            label={"choices": ["a", "b"]} | label,
        )

    check_job(job())
    with pytest.raises(ConfigError, match="needs_review is a column of the output already"):
        check_job(job(review_below=0.5))
