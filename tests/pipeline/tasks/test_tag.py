"""Task tag: tokens of one label become spans of characters, with transformers' probabilities."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers.pipelines.token_classification import TokenClassificationPipeline

from pipeline.preflight.job import check_job
from pipeline.tasks.tag import Tag, TagSection, tagged
from pipeline.text.text_offsets import without_space_around
from tests.pipeline.tasks.without_ray import finished_rows

Headed, Jobs = Callable[..., Any], Callable[..., Any]
LABELS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
TEXT = "Anna Berg lives in Köln"
PLACES = [(0, 0), (0, 4), (4, 9), (9, 15), (15, 18), (18, 23)]


def spans(*likeliest: int, labels: tuple[str, ...] = LABELS) -> list[tuple[int, int, str]]:
    logits = np.full((len(likeliest), len(labels)), -20.0)
    logits[range(len(likeliest)), likeliest] = 5.0
    found = tagged(logits, PLACES[: len(likeliest)], labels, TEXT)
    return [(span["start"], span["end"], span["label"]) for span in found]


def test_neighbours_of_one_tag_are_a_span_and_b_begins_another() -> None:
    assert spans(1, 1, 2, 0, 0, 3) == [(0, 9, "PER"), (19, 23, "LOC")]
    assert spans(0, 1, 1, 0, 0, 0) == [(0, 4, "PER"), (5, 9, "PER")]
    assert spans(0, 2, 2, 0, 4, 4) == [(0, 9, "PER"), (16, 23, "LOC")]
    assert spans(0, 1, 4, 0, 0, 0) == [(0, 4, "PER"), (5, 9, "LOC")]
    assert spans(0, 0, 0, 0, 0, 0) == []
    assert spans(3) == [], "a token outside the text is in no span"


def test_other_ways_to_name_labels() -> None:
    """E and S of BIOES, L and U of BILOU; names without a beginning."""
    bioes = ("O", "S-PER", "E-PER", "I-PER", "B-PER")
    assert spans(0, 1, 1, 0, 0, 0, labels=bioes) == [(0, 4, "PER"), (5, 9, "PER")]
    assert spans(0, 4, 2, 3, 0, 0, labels=bioes) == [(0, 9, "PER"), (10, 15, "PER")]
    plain = ("person", "e-mail")
    assert spans(0, 0, 0, 1, 1, 1, labels=plain) == [(0, 9, "person"), (10, 23, "e-mail")]


def test_names_that_only_look_like_the_end_of_a_span_are_names() -> None:
    labels = ("O", "E-Mail", "U-Bahn", "Person")
    assert spans(0, 1, 1, 2, 0, 3, labels=labels) == [
        (0, 9, "E-Mail"), (10, 15, "U-Bahn"), (19, 23, "Person")
    ]  # fmt: skip
    mixed = ("O", "B-Mail", "E-Mail", "E-Post")
    assert spans(0, 1, 2, 3, 3, 0, labels=mixed) == [(0, 9, "Mail"), (10, 18, "E-Post")]


@pytest.mark.parametrize(
    "labels", [LABELS, ("O", "E-Mail", "U-Bahn", "Person"), ("O", "B-x-y", "I-x-y", "S-Bahn", "misc")]
)
@given(st.data())
def test_groups_are_those_of_transformers_pipeline(labels: tuple[str, ...], data: st.DataObject) -> None:
    likeliest = data.draw(st.lists(st.integers(0, len(labels) - 1), min_size=5, max_size=5))
    pipeline = TokenClassificationPipeline.__new__(TokenClassificationPipeline)
    pipeline.tokenizer = SimpleNamespace(convert_tokens_to_string="".join)  # type: ignore[assignment]
    entities = [
        {"entity": labels[chosen], "score": 1.0, "word": TEXT[start:end], "start": start, "end": end}
        for chosen, (start, end) in zip(likeliest, PLACES[1:], strict=True)
    ]
    groups = [group for group in pipeline.group_entities(entities) if group["entity_group"] != "O"]
    expected = [without_space_around(TEXT, (group["start"], group["end"])) for group in groups]
    found = spans(0, *likeliest, labels=labels)
    assert [span[:2] for span in found] == expected
    # Of a name its groups keep only what stands behind the first dash, though they compare all of it.
    shown = {pipeline.get_tag(label)[1] for label in labels}
    assert {name for *_, name in found} <= shown
    assert [name.split("-", 1)[-1] for *_, name in found] == [
        group["entity_group"].split("-", 1)[-1] for group in groups
    ]


def test_a_spans_probability_is_the_mean_of_its_tokens() -> None:
    logits = np.log([[0.5, 0.5], [0.9, 0.1], [0.7, 0.3]])
    [span] = tagged(logits, PLACES[:3], ("PER", "O"), TEXT)
    assert span["prob"] == pytest.approx(0.8)


@pytest.mark.parametrize("chat", [False, True])
def test_a_job_gives_transformers_labels(chat: bool, headed: Headed, job_of: Jobs) -> None:
    checkpoint = headed("ForTokenClassification", LABELS)
    texts = [TEXT, "日本 Anna", "x " * 200, "a"]
    job = job_of("tag", checkpoint, [{"text": text} for text in texts], input={"chat": chat})
    table = finished_rows(job)
    assert table["error_code"].to_pylist() == [None, None, "PROMPT_TOO_LONG", None]
    tokenizer = check_job(job).prompt_format.tokenizer  # type: ignore[union-attr]
    for text, row in zip(texts, table.to_pylist(), strict=True):
        if row["status"] == "error":
            continue
        probs = checkpoint(row["prompt_token_ids"]).logits[0].double().softmax(-1)
        likeliest = [LABELS[i] for i in probs.argmax(-1).tolist()]
        for span in row["tag_spans"]:
            inside = text[span["start"] : span["end"]]
            assert inside == inside.strip() != ""
            # Some token of that text has the label, and the probability is a mean of such tokens'.
            near = [
                float(probs[i].max())
                for i, token_id in enumerate(row["prompt_token_ids"])
                if likeliest[i].endswith(span["label"])
                and (tokenizer.piece_bytes(token_id).decode(errors="ignore").strip() in inside)
            ]
            assert min(near) - 1e-4 <= span["prob"] <= max(near) + 1e-4
        tags = {label.partition("-")[2] for label in likeliest[1:]} - {""}
        assert {span["label"] for span in row["tag_spans"]} <= tags


def test_the_report_counts_spans_and_plan_lists_labels(headed: Headed, job_of: Jobs) -> None:
    task = Tag(TagSection())
    rows = pa.table({"tag_spans": [[{"start": 0}], None, [], [{"start": 1}, {"start": 2}]]})
    assert task.facts(task.measure(rows)) == [("tagged spans", "3")]
    job = check_job(job_of("tag", headed("ForTokenClassification", LABELS), [{"text": "a"}]))
    assert job.requests.facts() == [("labels of tokens", "O, B-PER, I-PER, B-LOC, I-LOC")]
