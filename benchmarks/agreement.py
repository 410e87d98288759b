"""How near a model in fewer bits comes to float32 on a job's rows.

Measured are label flips, the labels' probabilities, the prompts' perplexity and the routers' choices.
"""

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.same_prompts import chosen_experts, perplexity, prompt_logprobs, share_that_differs
from model.checkpoint.load import check_checkpoint
from model.engine import Engine
from pipeline.checkpoints.location import locate
from pipeline.config.job import JobConfig
from pipeline.errors import ConfigError
from pipeline.preflight.job import Job, check_job
from pipeline.replicas.first_answers import ask_alone
from pipeline.shards.make_plan import make_plan
from pipeline.task import Outcome

Row = dict[str, Any]
WAYS: dict[str, dict[str, Any]] = {  # options of the engine
    "float32": {"dtype": "float32"},
    "int8": {"dtype": "float32", "quantization": "int8"},
    "int4": {"dtype": "float32", "quantization": "int4"},
    "nf4": {"dtype": "float32", "quantization": "nf4"},
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
    perplexities: tuple[float, float] | None = None  # of the prompts: the reference's, the other way's
    scored_tokens: int = 0
    routing_flips: float | None = None  # share of (token, layer, slot) choices; None: the model is dense

    @property
    def flips(self) -> int:
        return self.rows - self.same


@dataclass(frozen=True)
class _Computed:
    """What one way gives: the rows' answers, and what it makes of their prompts."""

    outcomes: list[Outcome]
    logprobs: list[float] | None
    chosen: list[NDArray[Any]] | None


def agreement(
    config: JobConfig, way: str = "int8", threads: int | None = None, against: str | None = None
) -> Agreement:
    """Run a job's rows in float32 and in another way, a name of WAYS, by the engine alone. Writes nothing.

    `against`: the checkpoint that computes in float32 in place of the job's own, as the one of which a
    quantized upload was made. The way float32 leaves an upload in the bits that it is stored in.

    ConfigError if the job is wrong, or the other checkpoint is another model.
    """
    if way == "int8" and torch.cuda.is_available():
        raise ConfigError("model.quantization: int8 is for CPUs, and this machine has a GPU")
    if way == "float32" and against is None:
        raise ConfigError(
            "--way float32 compares a quantized upload with the checkpoint that --against names"
        )
    job = check_job(config)
    reference = job.checkpoint if against is None else _same_model(job, against)
    rows = _prepared(job)
    if not rows:
        raise ConfigError("input: no row has a prompt, so there is nothing to compare")
    one = _computed(job, reference, rows, WAYS["float32"], threads)
    other = _computed(job, job.checkpoint, rows, WAYS[way], threads)
    of_prompts: dict[str, Any] = {}
    if one.logprobs and other.logprobs:
        of_prompts["perplexities"] = perplexity(one.logprobs), perplexity(other.logprobs)
        of_prompts["scored_tokens"] = len(one.logprobs)
    if one.chosen and other.chosen:
        of_prompts["routing_flips"] = share_that_differs(one.chosen, other.chosen)
    return _compared(job, [*zip(one.outcomes, other.outcomes, strict=True)], of_prompts)


def _compared(job: Job, pairs: list[tuple[Outcome, Outcome]], of_prompts: dict[str, Any]) -> Agreement:
    if all("label_probs" in one.values for one, _ in pairs):
        differences = [abs(_probability(one, one) - _probability(other, one)) for one, other in pairs]
        same = sum(one.values["label"] == other.values["label"] for one, other in pairs)
        near = sum(_largest_difference(one, other) <= NEAR for one, other in pairs)
        return Agreement(len(pairs), same, mean(differences), near, None, **of_prompts)
    if not all("token_ids" in one.values for one, _ in pairs):
        raise ConfigError(f"task: {job.config.task} gives neither labels nor generated tokens to compare")
    shares = [_share_of_same(one.values["token_ids"], other.values["token_ids"]) for one, other in pairs]
    return Agreement(len(pairs), shares.count(1.0), None, None, mean(shares), **of_prompts)


def _same_model(job: Job, against: str) -> Path:
    located = locate(against)
    folder = located.whole()
    with located.naming():
        found = check_checkpoint(folder)
    for name in ("vocab_size", "num_layers", "num_experts", "num_experts_per_tok"):
        mine, other = getattr(job.model, name), getattr(found, name)
        if mine != other:
            raise ConfigError(
                f"--against: {against} is another model: its {name} is {other}, the job's is {mine}"
            )
    return folder


def _prepared(job: Job) -> list[Row]:
    plan = make_plan(job.config.input, task=job.task)
    tables = [job.preparation.prepared(shard) for shard in plan.shards]
    columns = ["file", "row", "prompt_token_ids", "params"]
    rows = [row for table in tables for row in table.select(columns).to_pylist()]
    return [row for row in rows if row["prompt_token_ids"] is not None]


def _computed(
    job: Job, checkpoint: Path, rows: list[Row], options: dict[str, Any], threads: int | None
) -> _Computed:
    adapter = job.config.model.adapter
    engine = Engine.load(checkpoint, threads=threads, statistics=False, adapter=adapter, **options)
    requests = job.task.requests(job.prompt_format)
    ask_alone(engine, requests)
    started = [
        requests.start(f"{row['file']}#{row['row']}", row["prompt_token_ids"], row["params"]) for row in rows
    ]
    completions = engine.run([request for request, _ in started])
    outcomes = [finish(completion) for completion, (_, finish) in zip(completions, started, strict=True)]
    prompts = [row["prompt_token_ids"] for row in rows]
    return _Computed(outcomes, prompt_logprobs(engine, prompts), chosen_experts(engine, prompts))


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
