"""The whole job against its engine alone, several replicas against one, and what statistics cost."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.contender import NO_STATISTICS, OURS, Task, measure
from benchmarks.machine import machine
from benchmarks.own_process import call
from benchmarks.random_checkpoint import checkpoint_or_random
from benchmarks.whole_job import JobResult, JobTask

_Round = dict[str, dict[str, float]]  # way -> kind of rate -> tokens a second
_RATIOS = {
    "the job's rate to its engine's": ("job", "engine"),
    "the rate of a job of 1 replica to its engine's": ("job, 1 replica", "engine"),
    "the rate of a job of 1 thread to its engine's": ("job, 1 thread", "engine, 1 thread"),
    "a replica a core to one of 1 thread": ("job", "job, 1 thread"),
    "the engine's rate with statistics to without": ("engine", "engine, no statistics"),
}


def bench_job(
    *,
    checkpoint: Path | None = None,
    size: str = "214m",
    rows: int,
    cores: int,
    repeats: int = 3,
    only: str | None = None,
    progress: Callable[[str], None] = lambda _: None,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """A report, ready for JSON: output tokens a second each way, and the ratios of ways that belong together.

    An engine has as many threads as there are cores, and so has the replica of a job of 1 replica, unless
    the way's name says otherwise. The way "job" has a replica of one thread for each core, as `auto` chooses
    where shards, rows and memory suffice. The ways alternate, every second round in reverse order. A ratio
    is the median of the ratios within each round. With `only`, only the ratios with it in their name are
    measured. `keep` is given the report after every round.

    ValueError if no ratio has `only` in its name.
    """
    ratios = {name: pair for name, pair in _RATIOS.items() if not only or only in name}
    if not ratios:
        raise ValueError(f"no ratio has {only!r} in its name: {'; '.join(_RATIOS)}")
    report: dict[str, Any] = {
        "machine": machine(cores),
        "model": size if checkpoint is None else checkpoint.name,
        "rows": rows,
    }
    with ExitStack() as stack:
        folder = str(stack.enter_context(checkpoint_or_random(checkpoint, size)))

        def engine(contender: str, threads: int) -> float:
            found = measure(Task(contender, folder, "lognormal", rows, threads))
            assert found.token_ids is not None
            return sum(map(len, found.token_ids)) / found.seconds

        def job(replicas: int, threads: int) -> JobResult:
            task = JobTask(folder, "lognormal", rows, replicas, threads)
            return JobResult(**call("benchmarks.whole_job", asdict(task), threads))

        measuring: dict[str, Callable[[], dict[str, float]]] = {
            "engine": lambda: {"running": engine(OURS, cores)},
            "engine, no statistics": lambda: {"running": engine(NO_STATISTICS, cores)},
            "engine, 1 thread": lambda: {"running": engine(OURS, 1)},
            "job": lambda: _rates(job(cores, 1)),
            "job, 1 replica": lambda: _rates(job(1, cores)),
            "job, 1 thread": lambda: _rates(job(1, 1)),
        }
        ways = [way for way in measuring if any(way in pair for pair in ratios.values())]
        rounds: list[_Round] = []
        for repeat in range(repeats):
            rounds.append({})
            for way in ways[:: -1 if repeat % 2 else 1]:
                progress(f"{repeat + 1} of {repeats}: {way}")
                rounds[-1][way] = measuring[way]()
            report |= _compared(rounds, ways, ratios)
            keep(report)
    return report


def _compared(rounds: list[_Round], ways: list[str], ratios: dict[str, tuple[str, str]]) -> dict[str, Any]:
    return {
        "rates": {
            way: {kind: median(r[way][kind] for r in rounds) for kind in rounds[0][way]} for way in ways
        },
        "ratios": {
            name: median(r[above]["running"] / r[below]["running"] for r in rounds)
            for name, (above, below) in ratios.items()
        },
        "rounds": rounds,
    }


def _rates(result: JobResult) -> dict[str, float]:
    """Output tokens a second: while replicas run, and with all that comes before and after."""
    return {
        "running": result.tokens / result.running_seconds,
        "with start and end": result.tokens / result.seconds,
    }
