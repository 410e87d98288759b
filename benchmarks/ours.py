"""The engine on a workload: how long, how full its batches, and where the time goes."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

import model.engine
from benchmarks.workloads import Workload
from model import sampling
from model.batch import Batch, Phase
from model.engine import Engine
from model.transformer import Block


@dataclass(frozen=True)
class Run:
    seconds: float
    token_ids: list[list[int]]
    choice_logprobs: list[list[float]] | None


def run_ours(engine: Engine, workload: Workload) -> Run:
    """The instruction that prompts share is computed within the time."""
    requests = workload.requests()
    started = time.perf_counter()
    engine.share_prefix(workload.instruction)
    completions = engine.run(requests)
    seconds = time.perf_counter() - started
    scores = [c.choice_logprobs for c in completions if c.choice_logprobs is not None]
    return Run(seconds, [c.token_ids for c in completions], scores or None)


@dataclass(frozen=True)
class Breakdown:
    seconds: float
    shares: dict[str, float]  # of the seconds, by what took them
    steps: int
    decode_occupancy: float | None  # mean rows that decode together, over those that could
    padding: float  # of the places of all batches, those without a token


def profile(engine: Engine, workload: Workload) -> Breakdown:
    """One run with a clock around each part; the clocks themselves cost a little."""
    clocks: dict[str, float] = defaultdict(float)
    batches: list[Batch] = []
    with _timed(engine, clocks, batches):
        seconds = run_ours(engine, workload).seconds
    clocks["rest"] = seconds - sum(clocks.values())
    decoding = [n for batch in batches if (n := sum(row.phase is Phase.DECODE for row in batch.rows))]
    slots = min(engine.max_batch_rows, len(workload.prompts))
    places = sum(batch.mask.numel() for batch in batches)
    return Breakdown(
        seconds=seconds,
        shares={name: spent / seconds for name, spent in clocks.items()},
        steps=len(batches),
        decode_occupancy=sum(decoding) / len(decoding) / slots if decoding else None,
        padding=1 - sum(int(batch.mask.sum()) for batch in batches) / places,
    )


@contextmanager
def _timed(engine: Engine, clocks: dict[str, float], batches: list[Batch]) -> Iterator[None]:
    hooks = []
    started: list[float] = []

    def clock(module: nn.Module, name: str) -> None:
        def before(*_: Any) -> None:
            started.append(time.perf_counter())

        def after(*_: Any) -> None:
            clocks[name] += time.perf_counter() - started.pop()

        hooks.append(module.register_forward_pre_hook(before))
        hooks.append(module.register_forward_hook(after))

    network = engine.ranks.local.model
    for block in network.blocks:
        assert isinstance(block, Block)
        clock(block.attention, "attention")
        clock(block.feed_forward, "experts")

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                clocks[name] += time.perf_counter() - begun

        return call

    logits, forward = network.head.logits, engine.ranks.forward

    def recorded(batch: Batch) -> Tensor:
        batches.append(batch)
        return forward(batch)

    replaced = [
        (model.engine, "sample", clocked("sampling", sampling.sample), sampling.sample),
        (network.head, "logits", clocked("head", logits), logits),
        (engine.ranks, "forward", recorded, forward),
    ]
    if engine.ranks.local.routing:
        recorder = engine.ranks.local.routing
        for name in ("end_step", "take"):
            method = getattr(recorder, name)
            replaced.append((recorder, name, clocked("statistics", method), method))
    for owner, name, new, _ in replaced:
        setattr(owner, name, new)
    try:
        yield
    finally:
        for owner, name, _, old in replaced:
            setattr(owner, name, old)
        for hook in hooks:
            hook.remove()
