"""Task classify: transformers' logits as labels and probabilities, or as a value."""

import math
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
import torch

from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.reporting.summary import ShardSummary
from pipeline.tasks.classify import Classify, ClassifySection, in_words
from pipeline.tasks.label import Label, LabelSection
from tests.pipeline.tasks.without_ray import finished_rows

LABELS = ("billing", "shipping", "returns")
ROWS = [
    {"text": "Where is my parcel?"},
    {"text": "Rechnung"},
    {"text": "  "},
    "no JSON",
    {"text": "日本 " * 9},
]
SHORT = (
    "{% for m in messages %}<<{{ m.role }}>>{{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<<assistant>>{% endif %}"
)
Headed, Jobs = Callable[..., Any], Callable[..., Any]


@pytest.mark.parametrize("problem", [None, "single_label_classification", "multi_label_classification"])
def test_labels_and_probabilities_are_transformers(problem: str | None, headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForSequenceClassification", LABELS, problem)
    table = finished_rows(job_of("classify", checkpoint, ROWS))
    assert table["status"].to_pylist() == ["ok", "ok", "error", "error", "ok"]
    assert table["label_value"].to_pylist() == [None] * 5
    for row in table.to_pylist():
        if row["status"] == "error":
            assert row["label"] is row["label_prob"] is row["label_probs"] is None
            continue
        logits = checkpoint(row["prompt_token_ids"]).logits[0].double()
        probs = logits.sigmoid() if problem == "multi_label_classification" else logits.softmax(-1)
        assert [one["label"] for one in row["label_probs"]] == list(LABELS)
        assert [one["prob"] for one in row["label_probs"]] == pytest.approx(probs.tolist(), abs=1e-5)
        assert row["label"] == LABELS[int(probs.argmax())]
        assert row["label_prob"] == pytest.approx(float(probs.max()), abs=1e-5)
        assert sum(row["router_prefill_first"]) == 2 * len(row["prompt_token_ids"])


@pytest.mark.parametrize("chat_template", [None, SHORT])
def test_a_reward_model_reads_conversations_that_end_with_the_answer(
    chat_template: str | None, headed: Headed, job_of: Jobs
) -> None:
    checkpoint = headed("ForSequenceClassification", ("LABEL_0",))
    talk = [{"role": "user", "content": "Where is it?"}, {"role": "assistant", "content": "In Köln."}]
    rows = [{"talk": talk}, {"talk": talk[:1]}, {"talk": [*talk[:1], {"role": "assistant", "content": ""}]}]
    given = {"prompt": {"messages": "talk"}, "chat": True, "chat_template": chat_template}
    job = job_of("classify", checkpoint, rows, input=given)
    table = finished_rows(job)
    assert table["error_code"].to_pylist() == [None, None, "BAD_MESSAGES"]
    answered, asked, _ = table.to_pylist()
    tokenizer = check_job(job).prompt_format.tokenizer  # type: ignore[union-attr]
    if chat_template:
        text = "<<user>>Where is it?\n<<assistant>>In Köln.\n"
        assert answered["prompt_token_ids"] == tokenizer.encode_trusted(text)
    else:
        user, assistant = tokenizer.encode("[INST] Where is it? [/INST]"), tokenizer.encode("In Köln.")
        assert answered["prompt_token_ids"] == [1, *user, *assistant, 2]
    for row in (answered, asked):
        value = float(checkpoint(row["prompt_token_ids"]).logits)
        assert row["label_value"] == pytest.approx(value, abs=1e-4)
    section = {"choices": ["a", "b"]}  # of a task that asks for an answer
    refused = finished_rows(job_of("label", headed("ForCausalLM"), rows, input=given, label=section))
    assert refused["error_code"].to_pylist() == ["BAD_MESSAGES", None, "BAD_MESSAGES"]


def test_columns_are_those_of_label(headed: Headed, job_of: Jobs) -> None:
    columns = dict(Classify(ClassifySection()).columns)
    of_label = dict(Label(LabelSection(choices={"a": "a", "b": "b"})).columns)
    assert list(columns) == ["label", "label_prob", "label_probs", "label_value"]
    assert {name: of_label[name] for name in list(columns)[:3]} == {
        name: columns[name] for name in list(columns)[:3]
    }


def test_known_labels_are_compared_as_those_of_task_label(headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForSequenceClassification", LABELS)
    rows = [{"text": f"Ticket {i}", "queue": LABELS[i % 3]} for i in range(6)]
    known = {"classify": {"known_column": "queue"}, "input": {"keep": ["queue"]}}
    config = job_of("classify", checkpoint, rows, **known)
    table, task = finished_rows(config), check_job(config).task
    totals = ShardSummary.of(table, task).totals()
    quality = task.report(totals)["label_quality"]
    right = sum(row["label"] == row["queue"] for row in table.to_pylist())
    assert (quality["rows"], quality["accuracy"]) == (6, pytest.approx(right / 6))
    assert (totals["known"], totals["right"]) == (6, right)
    assert dict(task.facts(totals))["accuracy on known labels"] == f"{right / 6:.2%}"
    assert len(task.exhibits(totals)) == 2
    with pytest.raises(ValueError, match=r"classify\.known_column 'queue' must be one of input\.keep"):
        job_of("classify", checkpoint, rows, classify={"known_column": "queue"})
    several = headed("ForSequenceClassification", LABELS, "multi_label_classification")
    for other in (several, headed("ForSequenceClassification", ("reward",))):
        with pytest.raises(ConfigError, match="known_column: this checkpoint does not give one label a row"):
            check_job(job_of("classify", other, rows, **known))


@pytest.mark.parametrize("problem", [None, "regression"])
def test_one_label_is_a_value(problem: str | None, headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForSequenceClassification", ("reward",), problem)
    table = finished_rows(job_of("classify", checkpoint, ROWS[:2]))
    for row in table.to_pylist():
        [value] = checkpoint(row["prompt_token_ids"]).logits[0].tolist()
        assert row["label_value"] == pytest.approx(value, abs=1e-4)
        assert row["label"] is row["label_prob"] is row["label_probs"] is None


def test_several_values_are_refused(headed: Headed, job_of: Jobs) -> None:
    job = job_of("classify", headed("ForSequenceClassification", LABELS, "regression"), ROWS)
    with pytest.raises(ConfigError, match="classify gives one value a row, and this checkpoint gives 3"):
        check_job(job)


def test_what_the_tokenizer_puts_behind_prompts_is_read(headed: Headed, job_of: Jobs) -> None:
    """As transformers' tokenizer does: the head reads the last token."""
    checkpoint = headed("ForSequenceClassification", LABELS)
    checkpoint.settings(add_eos_token=True)
    try:
        [row] = finished_rows(job_of("classify", checkpoint, ROWS[:1])).to_pylist()
    finally:
        checkpoint.settings()
    assert row["prompt_token_ids"][-1] == 2
    logits = checkpoint(row["prompt_token_ids"]).logits[0].double()
    assert row["label_prob"] == pytest.approx(float(logits.softmax(-1).max()), abs=1e-5)


def test_the_report_counts_labels_and_plan_lists_them(headed: Headed, job_of: Jobs) -> None:
    task = Classify(ClassifySection())
    measured = task.measure(pa.table({"label": ["a", "b", None, "b"]}))
    assert task.facts({"rows": 4} | measured) == [("labels", "b 2, a 1")]
    assert task.facts({"rows": 4}) == []
    many = {f"label {number}": 1 for number in range(12)}
    [(_, fact)] = task.facts({"rows": 12} | many)
    assert fact.endswith(", 4 more")
    job = check_job(job_of("classify", headed("ForSequenceClassification", LABELS), ROWS))
    assert job.requests.facts() == [("labels", "one of them: billing, shipping, returns")]
    several = headed("ForSequenceClassification", LABELS, "multi_label_classification")
    assert in_words(check_job(job_of("classify", several, ROWS)).model.trained).startswith(
        "any number of them"
    )


@pytest.mark.parametrize("logit", [-800.0, -3.0, 0.0, 3.0, 800.0])
def test_far_logits_overflow_nothing(logit: float, headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForSequenceClassification", LABELS, "multi_label_classification")
    job = check_job(job_of("classify", checkpoint, ROWS))
    _, finish = job.requests.start("row", [1], None)
    from model.requests.request import Completion

    values = finish(Completion("row", torch.tensor([[logit, 0.0, 0.0]]).double().numpy(), None)).values
    wanted = float(torch.tensor(logit, dtype=torch.float64).sigmoid())
    assert math.isclose(values["label_probs"][0]["prob"], wanted, rel_tol=1e-9, abs_tol=1e-300)
