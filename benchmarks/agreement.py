"""How often the model in 8 bits gives a job's rows the answers that it gives them in float32."""

from dataclasses import dataclass
from itertools import takewhile
from statistics import mean
from typing import Any

import torch

from model.engine import Engine
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job
from pipeline.shards.make_plan import make_plan
from pipeline.task import Outcome

Row = dict[str, Any]


@dataclass(frozen=True)
class Agreement:
    rows: int  # that have a prompt
    same: int  # with the same label, or the same tokens to the end
    mean_difference: float | None  # of the label's probability
    mean_same_tokens: float | None  # share of a row's tokens before the first that differs


def agreement(config: JobConfig, threads: int | None = None) -> Agreement:
    """Run a job's rows both ways, by the engine alone; ConfigError if the job is wrong. Writes nothing."""
    if torch.cuda.is_available():
        raise ConfigError("model.quantization: int8 is for CPUs, and this machine has a GPU")
    job = check_job(config)
    rows = _prepared(job)
    if not rows:
        raise ConfigError("input: no row has a prompt, so there is nothing to compare")
    pairs = [*zip(*(_outcomes(job, rows, way, threads) for way in ("none", "int8")), strict=True)]
    if all("label_probs" in one.values for one, _ in pairs):
        differences = [abs(_probability(one, one) - _probability(other, one)) for one, other in pairs]
        same = sum(one.values["label"] == other.values["label"] for one, other in pairs)
        return Agreement(len(pairs), same, mean(differences), None)
    shares = [_share_of_same(one.values["token_ids"], other.values["token_ids"]) for one, other in pairs]
    return Agreement(len(pairs), shares.count(1.0), None, mean(shares))


def _prepared(job: Job) -> list[Row]:
    plan = make_plan(job.config.input, task=job.task)
    tables = [job.preparation.prepared(shard) for shard in plan.shards]
    columns = ["file", "row", "prompt_token_ids", "params"]
    rows = [row for table in tables for row in table.select(columns).to_pylist()]
    return [row for row in rows if row["prompt_token_ids"] is not None]


def _outcomes(job: Job, rows: list[Row], quantization: str, threads: int | None) -> list[Outcome]:
    engine = Engine.load(
        job.checkpoint, "float32", threads=threads, quantization=quantization, statistics=False
    )
    requests = job.task.requests(job.prompt_format)
    started = [
        requests.start(f"{row['file']}#{row['row']}", row["prompt_token_ids"], row["params"]) for row in rows
    ]
    completions = engine.run([request for request, _ in started])
    return [finish(completion) for completion, (_, finish) in zip(completions, started, strict=True)]


def _probability(outcome: Outcome, label_of: Outcome) -> float:
    """The probability that `outcome` gives to the label of `label_of`."""
    probs: dict[str, float] = {one["label"]: one["prob"] for one in outcome.values["label_probs"]}
    return probs[label_of.values["label"]]


def _share_of_same(one: list[int], other: list[int]) -> float:
    if not one:
        return float(not other)
    pairs = zip(one, other, strict=False)
    agreed = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return agreed / max(len(one), len(other))
