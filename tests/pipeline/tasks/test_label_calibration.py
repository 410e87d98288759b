"""Calibrated labels of whole jobs, against transformers' probabilities and a plain calculation."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.engine import Engine
from model.requests.choice_scores import ChoiceScores, normalised
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job
from pipeline.replicas.first_answers import ask_alone
from pipeline.tasks.label_calibration import Calibration
from tests.pipeline.tasks.without_ray import finished_rows

Headed, Jobs = Callable[..., Any], Callable[..., Any]
CHOICES = ["billing", "shipping", "very late returns"]
ROWS = [{"text": "Where is it?", "of": "x"}, {"text": "Rechnung", "of": "y"}, "no JSON"]
PROMPT = {"template": "Ticket {{ text }} of {{ row['of'] }} in {{ shop | default('none') }}: which queue?"}
LABEL = {"choices": CHOICES, "calibrate": {"prior": ["N/A", ""]}, "temperature": 1.7, "review_below": 0.5}


@pytest.fixture
def label_job(headed: Headed, job_of: Jobs) -> Callable[..., JobConfig]:
    def make(label: dict[str, Any], prompt: dict[str, str] = PROMPT) -> JobConfig:
        config: JobConfig = job_of(
            "label",
            headed("ForCausalLM"),
            ROWS,
            label=label,
            input={"prompt": prompt, "chat": "messages" in prompt},
        )
        return config

    return make


def logprobs(checkpoint: Any, prompt: list[int], scores: ChoiceScores) -> list[float]:
    """Of each choice and one of the ends behind it, token by token, by transformers."""
    found = []
    for choice in scores.choices:
        logits = checkpoint([*prompt, *choice]).logits[0].double().log_softmax(-1)
        steps = [logits[len(prompt) - 1 + i, token] for i, token in enumerate(choice)]
        end = torch.logsumexp(logits[-1, scores.end_ids], 0)
        found.append(float(sum(steps) + end))
    return found


def test_labels_are_those_of_a_plain_calculation(label_job: Callable[..., JobConfig], headed: Headed) -> None:
    config, checkpoint = label_job(LABEL), headed("ForCausalLM")
    job = check_job(config)
    priors = []
    for request, text in zip(job.requests.first_requests(), ("N/A", ""), strict=True):
        assert job.prompt_format is not None
        written = f"Ticket {text} of {text} in {text}: which queue?"
        assert job.prompt_format.tokenizer.encode(written) == request.prompt_token_ids[1:]
        assert isinstance(request.readout, ChoiceScores)
        priors.append(normalised(logprobs(checkpoint, request.prompt_token_ids, request.readout)))
    prior = [(one + other) / 2 for one, other in zip(*priors, strict=True)]

    rows = finished_rows(config).to_pylist()
    assert [row["status"] for row in rows] == ["ok", "ok", "error"]
    for row in rows[:2]:
        request, _ = job.requests.start("row", row["prompt_token_ids"], None)
        assert isinstance(request.readout, ChoiceScores)
        own = logprobs(checkpoint, request.prompt_token_ids, request.readout)
        raw = [math.exp(one) for one in own]
        weights = [(one / of) ** (1 / 1.7) for one, of in zip(raw, prior, strict=True)]
        wanted = dict(zip(CHOICES, (weight / sum(weights) for weight in weights), strict=True))
        assert {one["label"]: one["prob"] for one in row["label_probs"]} == pytest.approx(wanted, abs=1e-5)
        assert [one["prob"] for one in row["label_probs_raw"]] == pytest.approx(
            [one / sum(raw) for one in raw], abs=1e-5
        )
        assert row["label"] == max(wanted, key=lambda name: wanted[name])
        assert row["label_prob"] == pytest.approx(wanted[row["label"]], abs=1e-5)
        assert row["label_mass"] == pytest.approx(sum(raw), rel=1e-3)
        assert row["needs_review"] is (row["label_prob"] < 0.5)
    assert rows[2]["label_probs_raw"] is rows[2]["needs_review"] is None


def test_columns_are_there_where_they_say_something(label_job: Callable[..., JobConfig]) -> None:
    plain = {"choices": CHOICES}
    for label, added in (
        (plain, set()),
        (plain | {"temperature": 1.0}, set()),
        (plain | {"temperature": 0.5}, {"label_probs_raw"}),
        (plain | {"calibrate": {}}, {"label_probs_raw"}),
        (plain | {"review_below": 0.0}, {"needs_review"}),
    ):
        names = {name for name, _ in label_job(label).make_task().columns}
        assert names - {"label", "label_prob", "label_probs", "label_mass"} == added


def answered(job: Job, engine: Engine, together: bool) -> list[dict[str, Any]]:
    prompts = [[1, 733, 16289 + i] * (1 + i) for i in range(6)]
    started = [job.requests.start(str(i), prompt, None) for i, prompt in enumerate(prompts)]
    groups = [[request for request, _ in started]] if together else [[request] for request, _ in started]
    done = [completion for group in groups for completion in engine.run(group)]
    return [dict(finish(one).values) for one, (_, finish) in zip(done, started, strict=True)]


def test_values_are_the_same_whatever_shares_the_batch(label_job: Callable[..., JobConfig]) -> None:
    found = []
    for together in (True, False):
        job = check_job(label_job(LABEL))
        engine = Engine.load(job.checkpoint, "float32", threads=1)
        ask_alone(engine, job.requests)
        found.append(answered(job, engine, together))
    for one, other in zip(*found, strict=True):
        assert one["label"] == other["label"]
        for key in ("label_probs", "label_probs_raw"):
            probs, others = ([choice["prob"] for choice in row[key]] for row in (one, other))
            assert probs == pytest.approx(others, abs=1e-6)
            assert sum(probs) == pytest.approx(1.0)


@given(
    st.lists(st.tuples(st.floats(-600, 0), st.floats(-50, 0)), min_size=2, max_size=12),
    st.floats(0.05, 20),
)
def test_probabilities_sum_to_1_and_keep_their_order_under_a_temperature(
    pairs: list[tuple[float, float]], temperature: float
) -> None:
    own, prior = (list(one) for one in zip(*pairs, strict=True))
    plain, hot = (
        Calibration(wants_prior=True, temperature=one, prior=prior).probabilities(own)
        for one in (1.0, temperature)
    )
    assert sum(hot) == pytest.approx(1.0)
    assert max(hot) == hot[plain.index(max(plain))]
    logits = (torch.tensor(own, dtype=torch.double) - torch.tensor(prior, dtype=torch.double)) / temperature
    assert hot == pytest.approx(logits.softmax(0).tolist(), abs=1e-9)
    assert Calibration().probabilities(own) == normalised(own)
    itself = Calibration(wants_prior=True).knowing([own], [*map(str, own)])
    assert itself.probabilities(own) == pytest.approx([1 / len(own)] * len(own)), (
        "what holds no content gets every choice alike"
    )


@pytest.mark.parametrize("temperature", [1e-308, 1e308])
def test_a_temperature_at_the_end_of_numbers_leaves_numbers(temperature: float) -> None:
    found = Calibration(temperature=temperature).probabilities([-800.0, -3.0, -700.0])
    assert found == pytest.approx([0.0, 1.0, 0.0] if temperature < 1 else [1 / 3] * 3)


def test_a_choice_that_is_never_said_cannot_be_divided_out() -> None:
    with pytest.raises(ConfigError, match="the model gives 'b' no probability behind prompts without"):
        Calibration(wants_prior=True).knowing([[0.0, -1e4], [0.0, -2e4]], ["a", "b"])
