"""A job with calibrated questions that is killed and goes on: everything of it but Ray.

Its plan, its spec and the answers by which all rows go are those of the folder.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.durable.first_answers import FIRST_ANSWERS
from pipeline.errors import ConfigError
from pipeline.preflight.job import check_job
from pipeline.preflight.job_plan import load_or_make_plan
from pipeline.replicas.first_answers import ask_first
from pipeline.rows.result_rows import ResultRows
from pipeline.storage.open_store import open_store
from tests.pipeline.tasks.without_ray import _finished

Headed, Jobs = Callable[..., Any], Callable[..., Any]
PRIOR = {"prior": ["N/A", "[MASK]"]}
QUESTIONS: dict[str, Any] = {
    "topic": {"instructions": "What about?", "choices": ["billing", "returns"], "calibrate": PRIOR},
    "writer": {"instructions": "Who writes?", "choices": ["man", "woman"], "calibrate": PRIOR},
    "anger": {"type": "score", "instructions": "How angry?", "levels": ["calm", "annoyed", "furious"]},
}
ROWS = [{"text": "My parcel is late"}, {"text": "Rechnung"}, "no JSON", {"text": "Refund me, now!"}]


@pytest.fixture
def run(headed: Headed, job_of: Jobs) -> Callable[..., list[dict[str, Any]]]:
    """A run from its start: the rows of its shard, as `generations` would have them."""

    def from_start(questions: dict[str, Any]) -> list[dict[str, Any]]:
        sections = {"input": {"prompt": {"template": "{{ text }}\n{{ question }}"}}}
        label = {"questions": questions}
        config: JobConfig = job_of("label", headed("ForCausalLM"), ROWS, label=label, **sections)
        job = check_job(config)
        store = open_store(config.output.path)
        [shard] = load_or_make_plan(job, store, extending=False).shards
        engine = Engine.load(job.checkpoint, "float32", threads=1)
        ask_first(engine, job.requests, store)
        prepared = job.preparation.prepared(shard)
        outcomes = [_finished(job, engine, row) for row in prepared.to_pylist()]
        table = ResultRows(job.config, job.task, engine.config).table(prepared, outcomes)
        engine.close()
        rows: list[dict[str, Any]] = table.to_pylist()
        return rows

    return from_start


def test_a_resumed_run_goes_by_the_answers_of_the_first(run: Callable[..., Any], tmp_path: Path) -> None:
    first = run(QUESTIONS)
    assert [row["status"] for row in first] == ["ok", "ok", "error", "ok"]
    store = open_store(tmp_path / "out")
    named = json.loads(store.read(FIRST_ANSWERS))["answers"]
    assert {name: {*texts} for name, texts in named.items()} == {
        name: {*PRIOR["prior"]} for name in ("topic", "writer")
    }
    assert {*named["writer"]["N/A"]} == {"man", "woman"}
    for row in first[:2]:
        for name in ("topic", "writer"):
            assert row[f"label_{name}_probs"] != row[f"label_{name}_probs_raw"]
        assert "label_anger_probs_raw" not in row
    assert run(QUESTIONS) == first


def test_a_job_with_its_questions_or_levels_in_another_order_is_another_job(run: Callable[..., Any]) -> None:
    """Levels would be numbered by another scale, and priors divided out of other questions."""
    run(QUESTIONS)
    turned = QUESTIONS["anger"] | {"levels": ["furious", "annoyed", "calm"]}
    for questions, key in (
        (dict(reversed(QUESTIONS.items())), "label.questions"),
        (QUESTIONS | {"anger": turned}, "label.questions.anger.levels"),
    ):
        with pytest.raises(ConfigError, match=rf"\({key}: its names stand in another order .at place 1"):
            run(questions)
