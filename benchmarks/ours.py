"""The engine on a workload: how long, how full its batches, and where the time goes."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Any

from torch import Tensor

from benchmarks.clocks import kernel_clocks, part_clocks
from benchmarks.workload import Workload
from model.engine import Engine
from model.requests.readout import Head
from model.scheduling.batch import Batch, Phase


@dataclass(frozen=True)
class Run:
    seconds: float
    token_ids: list[list[int]]
    choice_logprobs: list[list[float]] | None


def run_ours(engine: Engine, workload: Workload) -> Run:
    """What prompts share is computed within the time."""
    requests = workload.requests()
    started = time.perf_counter()
    completions = engine.run(requests)
    seconds = time.perf_counter() - started
    scores = [_flat(c.answer) for c in completions] if workload.is_scored else None
    return Run(seconds, [c.token_ids for c in completions], scores)


def run_in_turn(engine: Engine, workload: Workload) -> Run:
    """One question after another, each about all rows, as jobs of one question ask them."""
    runs = [run_ours(engine, one) for one in workload.each_question()]
    scores = [run.choice_logprobs or [] for run in runs]
    together = [[*chain.from_iterable(row)] for row in zip(*scores, strict=True)]
    return Run(sum(run.seconds for run in runs), runs[0].token_ids, together)


def _flat(answer: list[Any]) -> list[float]:
    """Scores of choices, or of those of several questions -> in one list."""
    return [*chain.from_iterable(answer)] if isinstance(answer[0], list) else answer


@dataclass(frozen=True)
class Breakdown:
    seconds: float
    shares: dict[str, float]  # of the seconds, by what took them
    steps: int
    decode_occupancy: float | None  # mean share of the slots that decode, in steps where any does


def profile(engine: Engine, workload: Workload) -> Breakdown:
    """One run with clocks, which cost a little themselves: around each part, on a GPU around its kernels."""
    clocks: dict[str, float] = defaultdict(float)
    batches: list[Batch] = []
    on_gpu = engine.ranks.local.device.type == "cuda"
    with _recorded(engine, batches), kernel_clocks(clocks) if on_gpu else part_clocks(engine, clocks):
        seconds = run_ours(engine, workload).seconds
    clocks["rest"] = seconds - sum(clocks.values())
    decoding = [n for batch in batches if (n := sum(row.phase is Phase.DECODE for row in batch.rows))]
    slots = min(engine.max_batch_rows, len(workload.prompts))
    return Breakdown(
        seconds=seconds,
        shares={name: spent / seconds for name, spent in clocks.items()},
        steps=len(batches),
        decode_occupancy=sum(decoding) / len(decoding) / slots if decoding else None,
    )


@contextmanager
def _recorded(engine: Engine, batches: list[Batch]) -> Iterator[None]:
    forward = engine.ranks.forward

    def record(batch: Batch) -> dict[Head, Tensor]:
        batches.append(batch)
        return forward(batch)

    engine.ranks.forward = record  # type: ignore[method-assign]
    try:
        yield
    finally:
        engine.ranks.forward = forward  # type: ignore[method-assign]
