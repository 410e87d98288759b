"""How long steps take while a long prompt is prefilled beside rows that decode."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from benchmarks.ours import Run
from benchmarks.workload import Workload
from model.engine import Engine
from model.requests.request import Completion, Request

_BEFORE = 16  # steps


@dataclass(frozen=True)
class Steps:
    """Of the steps of one phase."""

    count: int
    median_seconds: float | None
    longest_seconds: float | None

    @classmethod
    def of(cls, seconds: list[float]) -> "Steps":
        if not seconds:
            return cls(0, None, None)
        return cls(len(seconds), median(seconds), max(seconds))


def run_with_late_rows(engine: Engine, workload: Workload) -> tuple[Run, dict[str, Any]]:
    """The run, and the steps `before` the late rows arrive, `during` their prefill and `after` it.

    They arrive some steps after every other row has its first token, and generate one token each.
    RuntimeError if no row decodes any more when their prefill ends: nothing is told then.
    """
    requests = workload.requests()
    early, late = requests[: -workload.late], {request.key for request in requests[-workload.late :]}
    begun: set[str] = set()
    done: dict[str, Completion] = {}
    seconds: dict[str, list[float]] = {"before": [], "during": [], "after": []}

    def step(phase: str | None = None) -> None:
        started = time.perf_counter()
        completions = engine.step()
        if phase:
            seconds[phase].append(time.perf_counter() - started)
        done.update((completion.key, completion) for completion in completions)

    started = time.perf_counter()
    for request in early:
        engine.submit(replace(request, should_stop=_noting(request, begun)))
    while len(begun) < len(early):
        step()
    for _ in range(_BEFORE):
        step("before")
    for request in requests[-workload.late :]:
        engine.submit(request)
    while not late <= done.keys():
        step("during")
    if len(done) == len(requests):
        raise RuntimeError("all other rows had ended before the late ones were prefilled")
    while not engine.idle:
        step("after")
    token_ids = [done[request.key].token_ids for request in requests]
    taken = time.perf_counter() - started
    return Run(taken, token_ids, None), {phase: asdict(Steps.of(found)) for phase, found in seconds.items()}


def _noting(request: Request, begun: set[str]) -> Callable[[int], bool]:
    """A should_stop that stops nothing: it notes that the row has a token."""

    def note(_: int) -> bool:
        begun.add(request.key)
        return False

    return note
