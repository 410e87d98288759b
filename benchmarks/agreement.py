"""How often a model in 8 bits, or in bfloat16, gives a job's rows the answers that it gives in float32."""

from dataclasses import dataclass
from itertools import takewhile
from statistics import mean
from typing import Any

import torch

from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job
from pipeline.replicas.first_answers import ask_alone
from pipeline.row_requests import Outcome
from pipeline.shards.make_plan import make_plan

Row = dict[str, Any]
WAYS: dict[str, dict[str, Any]] = {  # options of the engine
    "float32": {"dtype": "float32"},
    "int8": {"dtype": "float32", "quantization": "int8"},
    "bfloat16": {"dtype": "bfloat16"},
}
NEAR = 0.01  # of a label's probability


@dataclass(frozen=True)
class Agreement:
    rows: int  # that have a prompt
    same: int  # with the same label, or the same tokens to the end
    mean_difference: float | None  # of the label's probability
    near: int | None  # rows of which no choice's probability differs by more than NEAR
    mean_same_tokens: float | None  # share of a row's tokens before the first that differs


def agreement(config: JobConfig, way: str = "int8", threads: int | None = None) -> Agreement:
    """Run a job's rows in float32 and in another way, a name of WAYS, by the engine alone. Writes nothing.

    ConfigError if the job is wrong.
    """
    if way == "int8" and torch.cuda.is_available():
        raise ConfigError("model.quantization: int8 is for CPUs, and this machine has a GPU")
    job = check_job(config)
    rows = _prepared(job)
    if not rows:
        raise ConfigError("input: no row has a prompt, so there is nothing to compare")
    pairs = [*zip(*(_outcomes(job, rows, WAYS[of], threads) for of in ("float32", way)), strict=True)]
    if all("label_probs" in one.values for one, _ in pairs):
        differences = [abs(_probability(one, one) - _probability(other, one)) for one, other in pairs]
        same = sum(one.values["label"] == other.values["label"] for one, other in pairs)
        near = sum(_largest_difference(one, other) <= NEAR for one, other in pairs)
        return Agreement(len(pairs), same, mean(differences), near, None)
    if not all("token_ids" in one.values for one, _ in pairs):
        raise ConfigError(f"task: {job.config.task} gives neither labels nor generated tokens to compare")
    shares = [_share_of_same(one.values["token_ids"], other.values["token_ids"]) for one, other in pairs]
    return Agreement(len(pairs), shares.count(1.0), None, None, mean(shares))


def _prepared(job: Job) -> list[Row]:
    plan = make_plan(job.config.input, task=job.task)
    tables = [job.preparation.prepared(shard) for shard in plan.shards]
    columns = ["file", "row", "prompt_token_ids", "params"]
    rows = [row for table in tables for row in table.select(columns).to_pylist()]
    return [row for row in rows if row["prompt_token_ids"] is not None]


def _outcomes(job: Job, rows: list[Row], options: dict[str, Any], threads: int | None) -> list[Outcome]:
    engine = Engine.load(job.checkpoint, threads=threads, statistics=False, **options)
    requests = job.task.requests(job.prompt_format)
    ask_alone(engine, requests)
    started = [
        requests.start(f"{row['file']}#{row['row']}", row["prompt_token_ids"], row["params"]) for row in rows
    ]
    completions = engine.run([request for request, _ in started])
    return [finish(completion) for completion, (_, finish) in zip(completions, started, strict=True)]


def _probability(outcome: Outcome, label_of: Outcome) -> float:
    """The probability that `outcome` gives to the label of `label_of`."""
    return _probabilities(outcome)[label_of.values["label"]]


def _largest_difference(one: Outcome, other: Outcome) -> float:
    """The most by which a choice's probability differs."""
    others = _probabilities(other)
    return max(abs(prob - others[label]) for label, prob in _probabilities(one).items())


def _probabilities(outcome: Outcome) -> dict[str, float]:
    return {one["label"]: one["prob"] for one in outcome.values["label_probs"]}


def _share_of_same(one: list[int], other: list[int]) -> float:
    if not one:
        return float(not other)
    pairs = zip(one, other, strict=False)
    agreed = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return agreed / max(len(one), len(other))
