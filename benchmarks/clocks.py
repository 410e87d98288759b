"""Where an engine's time goes: clocks around its parts on a CPU, and around its kernels on a GPU."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.profiler import ProfilerActivity

from model.engine import Engine
from model.network.transformer import Block
from model.sampling import sample as sampling

_MOST_KERNELS = 12
_NAME = 100  # characters of a kernel's name that are kept


@contextmanager
def part_clocks(engine: Engine, clocks: dict[str, float]) -> Iterator[None]:
    """Add to `clocks` the seconds that each part of the engine takes within the block."""
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
    clock(network.head, "head")

    def clocked(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            begun = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                clocks[name] += time.perf_counter() - begun

        return call

    replaced: list[tuple[Any, str, Any, Any]] = [
        (sampling, "sample", clocked("sampling", sampling.sample), sampling.sample)
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


@contextmanager
def kernel_clocks(clocks: dict[str, float]) -> Iterator[None]:
    """Add to `clocks` the seconds of the GPU's kernels within the block: the longest, the others together."""
    with torch.profiler.profile(activities=[ProfilerActivity.CUDA]) as profiled:
        yield
    seconds: dict[str, float] = defaultdict(float)
    for event in profiled.key_averages():
        seconds[event.key[:_NAME]] += event.self_device_time_total / 1e6
    order = sorted(seconds, key=lambda name: -seconds[name])
    clocks.update({name: seconds[name] for name in order[:_MOST_KERNELS]})
    clocks["other kernels"] = sum(seconds[name] for name in order[_MOST_KERNELS:])
