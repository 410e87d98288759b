"""What a job asks once: the first replica's answers hold for every later one, and for every resumed run."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.durable.first_answers import FIRST_ANSWERS, agree_on
from pipeline.durable.operations import execute
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job
from pipeline.replicas.first_answers import ask_alone, ask_first
from pipeline.storage.open_store import open_store

MakeConfig = Callable[..., JobConfig]
CHOICES, PRIOR = ["billing", "shipping", "returns"], ["N/A", "[MASK]"]
LABEL = {"choices": CHOICES, "calibrate": {"prior": PRIOR}}


def job_of(make_config: MakeConfig, **label: Any) -> Job:
    prompt = {"template": "Queue of {{ text }}?"}
    return check_job(make_config([{"text": "It broke."}], task="label", prompt=prompt, label=LABEL | label))


def answered(job: Job, engine: Engine) -> dict[str, Any]:
    request, finish = job.requests.start("row", [1, 733, 16289], None)
    [completion] = engine.run([request])
    return dict(finish(completion).values)


def probs(values: list[dict[str, Any]]) -> list[float]:
    return [one["prob"] for one in values]


def test_the_first_replica_s_answers_hold(make_config: MakeConfig, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    job = job_of(make_config)
    engine = Engine.load(job.checkpoint, "float32", threads=1)
    ask_first(engine, job.requests, store)
    stored = json.loads(store.read(FIRST_ANSWERS))["answers"]
    answers = [one.answer for one in engine.run(job.requests.first_requests())]
    assert stored == {
        text: dict(zip(CHOICES, answer, strict=True)) for text, answer in zip(PRIOR, answers, strict=True)
    }
    alone = job_of(make_config)
    ask_alone(engine, alone.requests)
    assert answered(job, engine) == answered(alone, engine)


def test_a_replica_that_would_answer_otherwise_goes_by_what_stands_there(
    make_config: MakeConfig, tmp_path: Path
) -> None:
    store = open_store(tmp_path / "store")
    """As on a machine of another kind, or in a run that goes on years later.

    Which answer is of what, names say: the order in the file has no meaning.
    """
    masks = {"returns": math.log(0.1), "billing": math.log(0.7), "shipping": math.log(0.2)}
    first = {"[MASK]": masks, "N/A": masks | {"billing": math.log(0.1)}}
    execute(agree_on(first), store)
    before = store.read(FIRST_ANSWERS)
    job = job_of(make_config)
    engine = Engine.load(job.checkpoint, "float32", threads=1)
    ask_first(engine, job.requests, store)
    values = answered(job, engine)
    prior = [(0.25 + 0.7) / 2, (0.5 + 0.2) / 2, (0.25 + 0.1) / 2]
    weights = [raw / of for raw, of in zip(probs(values["label_probs_raw"]), prior, strict=True)]
    assert probs(values["label_probs"]) == pytest.approx([one / sum(weights) for one in weights], rel=1e-9)
    assert store.read(FIRST_ANSWERS) == before


def test_a_task_that_asks_nothing_leaves_nothing(make_config: MakeConfig, tmp_path: Path) -> None:
    store = open_store(tmp_path / "store")
    job = job_of(make_config, calibrate=None)
    engine = Engine.load(job.checkpoint, "float32", threads=1)
    ask_first(engine, job.requests, store)
    assert not store.exists(FIRST_ANSWERS)
    assert "label_probs_raw" not in answered(job, engine)


def test_a_row_is_not_answered_before_the_model_was_asked(make_config: MakeConfig) -> None:
    job = job_of(make_config)
    engine = Engine.load(job.checkpoint, "float32", threads=1)
    with pytest.raises(AssertionError, match="has not been asked"):
        answered(job, engine)


def test_an_answer_of_nan_is_an_error_of_the_job(make_config: MakeConfig, tmp_path: Path) -> None:
    job = job_of(make_config)
    engine = Engine.load(job.checkpoint, "float32", threads=1)
    with torch.no_grad():
        for weight in engine.ranks.local.model.parameters():
            weight.fill_(math.nan)
    with pytest.raises(ConfigError, match=r"^label\.calibrate\.prior: 'N/A': the model gave NaN"):
        ask_first(engine, job.requests, open_store(tmp_path / "store"))
