"""The seconds of a network's parts, each without the parts within it."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from model.engine import Engine


class NestedClocks:
    """What is started within something else counts for itself alone."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[tuple[str, float]] = []  # names, and when each began or went on

    def start(self, name: str) -> None:
        now = _now()
        self._count(now)
        self._running.append((name, now))

    def stop(self) -> None:
        now = _now()
        self._count(now)
        self._running.pop()
        if self._running:
            self._running[-1] = (self._running[-1][0], now)

    def rename(self, name: str, until_now: str) -> None:
        """What runs, if it is called `name`, was called `until_now` until now."""
        if self._running and self._running[-1][0] == name:
            now = _now()
            self._running[-1] = (until_now, self._running[-1][1])
            self._count(now)
            self._running[-1] = (name, now)

    def _count(self, now: float) -> None:
        if self._running:
            name, began = self._running[-1]
            self.seconds[name] += now - began


@contextmanager
def nested_clocks(
    engine: Engine, modules: dict[str, str], router: str, experts: str
) -> Iterator[dict[str, float]]:
    """Within the block, the seconds of the engine's modules: `modules` says by which name each counts.

    Experts count as `router` until they show the routing to the engine's statistics, where these are on.
    """
    clocks = NestedClocks()
    hooks = []
    for name, module in engine.ranks.local.model.named_modules():
        part = next((part for end, part in modules.items() if f".{name}".endswith(f".{end}")), None)
        if part is not None:
            hooks.append(module.register_forward_pre_hook(_starting(clocks, part)))
            hooks.append(module.register_forward_hook(lambda *_: clocks.stop()))
    recorder: Any = engine.ranks.local.routing
    observe = recorder and recorder.observe
    if recorder:

        def observing(*args: Any) -> None:
            clocks.rename(experts, until_now=router)
            observe(*args)

        recorder.observe = observing
    try:
        yield clocks.seconds
    finally:
        for hook in hooks:
            hook.remove()
        if recorder:
            del recorder.observe  # the method is there again


def _starting(clocks: NestedClocks, part: str) -> Any:
    return lambda *_: clocks.start(part)


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
