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

_Round = dict[str, dict[str, float]]  # rates by kind, by way


def bench_job(
    *,
    checkpoint: Path | None = None,
    size: str = "214m",
    rows: int,
    cores: int,
    repeats: int = 3,
    progress: Callable[[str], None] = lambda _: None,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """A report, ready for JSON: output tokens a second each way, and the ratios of ways that belong together.

    All ways alternate, every other round from the last to the first, and a ratio is the median of those
    within a round. `keep` is given the report after every round.
    """
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

        ways: dict[str, Callable[[], dict[str, float]]] = {
            f"engine, {cores} threads": lambda: {"running": engine(OURS, cores)},
            f"engine, {cores} threads, no statistics": lambda: {"running": engine(NO_STATISTICS, cores)},
            "engine, 1 thread": lambda: {"running": engine(OURS, 1)},
            f"job, 1 replica of {cores} threads": lambda: _rates(job(1, cores)),
            "job, 1 replica of 1 thread": lambda: _rates(job(1, 1)),
            f"job, {cores} replicas of 1 thread": lambda: _rates(job(cores, 1)),
        }
        rounds: list[_Round] = []
        for repeat in range(repeats):
            rounds.append({})
            for name in list(ways)[:: -1 if repeat % 2 else 1]:
                progress(f"{repeat + 1} of {repeats}: {name}")
                rounds[-1][name] = ways[name]()
            report |= _compared(rounds, [*ways], cores)
            keep(report)
    return report


def _compared(rounds: list[_Round], ways: list[str], cores: int) -> dict[str, Any]:
    engine, plain_engine, engine_on_one, job, job_on_one, several = ways
    ratios = {
        "the job's rate to its engine's": (job, engine),
        "the job's rate to its engine's, 1 thread": (job_on_one, engine_on_one),
        f"{cores} replicas of 1 thread to one": (several, job_on_one),
        "the engine's rate with statistics to without": (engine, plain_engine),
    }
    return {
        "rates": {
            name: {kind: median(r[name][kind] for r in rounds) for kind in rounds[0][name]} for name in ways
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
