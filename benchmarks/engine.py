"""The engine against its peers: alternating runs of the same workload, and whether they say the same."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.contender import GENERATING, INT8, LABELLING, LLAMA, OURS, Result, Task, measure
from benchmarks.floors import Floor, Speed
from benchmarks.machine import machine
from benchmarks.random_checkpoint import checkpoint_or_random
from benchmarks.workloads import WORKLOADS, Workload
from model.config import ModelConfig
from model.machine.budget import compute_dtype, default_device


def bench_engine(
    workloads: list[str],
    *,
    checkpoint: Path | None = None,
    size: str = "214m",
    rows: int | None = None,
    threads: int | None = None,
    repeats: int = 3,
    only: str | None = None,
    llama_server: Path | None = None,
    progress: Callable[[str], None] = lambda _: None,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """A report, ready for JSON: the machine, and for each workload what each contender took.

    Given its program `llama_server`, llama.cpp generates too; it takes a checkpoint of one file.

    `keep` is given the report after every round. Of a peer's settings, rounds after the first go on with the
    best alone.

    Raises:
        ValueError: nobody's name has `only` in it, or llama.cpp has no part in this.
    """
    threads = threads or torch.get_num_threads()
    with ExitStack() as stack:
        folder = stack.enter_context(checkpoint_or_random(checkpoint, size))
        config = ModelConfig.from_folder(folder)
        torch.set_num_threads(threads)
        device = default_device()
        dtype = compute_dtype("auto", config, device)
        speed = Speed.of(device, dtype)
        peers = LLAMA if llama_server else []
        contenders_of = {kind: _contenders(kind, only, peers, device) for kind in workloads}
        llama: list[str] = []
        if llama_server:
            if not any(name in LLAMA for names in contenders_of.values() for name in names):
                raise ValueError("llama.cpp is a contender on CPUs alone, where tokens are generated")
            llama = [str(llama_server), str(stack.enter_context(_gguf(folder)))]
        report: dict[str, Any] = {
            "machine": machine(threads) | asdict(speed),
            "model": size if checkpoint is None else checkpoint.name,
            "workloads": {},
        }
        for kind in workloads:
            workload = WORKLOADS[kind](config.vocab_size, rows)
            results: dict[str, list[Result]] = {}
            contenders = contenders_of[kind]
            for repeat in range(repeats):
                for contender in contenders:
                    progress(f"{kind}, {repeat + 1} of {repeats}: {contender}")
                    task = Task(contender, str(folder), kind, rows, threads, *llama)
                    results.setdefault(contender, []).append(measure(task))
                contenders = _best_settings(results)
                floor = Floor.of(workload, config, dtype)
                report["workloads"][kind] = _summary(workload, results, floor, speed)
                keep(report)
    return report


def _contenders(kind: str, only: str | None, peers: list[str], device: torch.device) -> list[str]:
    names = LABELLING if kind == "label" else GENERATING + peers
    if device.type != "cpu":
        names = [name for name in names if name not in (INT8, *LLAMA)]
    chosen = [name for name in names if not only or only in name]
    if not chosen:
        raise ValueError(f"no contender of {kind} here has {only!r} in its name")
    return chosen


@contextmanager
def _gguf(folder: Path) -> Iterator[Path]:
    """The checkpoint as llama.cpp reads it."""
    from benchmarks.gguf_checkpoint import write_gguf  # gguf is there for developers alone

    with tempfile.TemporaryDirectory(prefix="gguf-") as temporary:
        file = Path(temporary, "model.gguf")
        write_gguf(folder, file)
        yield file


def _best_settings(results: dict[str, list[Result]]) -> list[str]:
    """The contenders; of those that differ in a number at the end of the name only, the fastest so far."""
    best: dict[str, str] = {}
    for name, runs in results.items():
        peer = name.rstrip(" 0123456789")
        rival = best.get(peer)
        if rival is None or runs[0].seconds < results[rival][0].seconds:
            best[peer] = name
    return list(best.values())


def _summary(
    workload: Workload, results: dict[str, list[Result]], floor: Floor, speed: Speed
) -> dict[str, Any]:
    output = sum(workload.new_tokens) or len(workload.prompts)
    total = sum(map(len, workload.prompts)) + sum(workload.new_tokens)
    ours = results.get(OURS)
    contenders = {}
    for name, runs in results.items():
        seconds = median(run.seconds for run in runs)
        contenders[name] = {
            "seconds": seconds,
            "all_seconds": [run.seconds for run in runs],
            "cpu_seconds": median(run.cpu_seconds for run in runs),
            "output_a_second": output / seconds,
            "total_a_second": total / seconds,
            "load_seconds": median(run.load_seconds for run in runs),
            "peak_bytes": max(run.peak_bytes for run in runs),
            "of_floor": None if name == INT8 else floor.seconds(speed) / seconds,
            "of_flops": floor.operations / speed.flops / seconds,
            "of_bandwidth": floor.bytes / speed.bytes_a_second / seconds,
            # Runs of a round are neighbours in time, so their ratio suffers least from what else is running.
            "times_slower_than_ours": ours
            and median(run.seconds / own.seconds for run, own in zip(runs, ours, strict=False)),
            "times_more_cpu_than_ours": ours
            and median(run.cpu_seconds / own.cpu_seconds for run, own in zip(runs, ours, strict=False)),
            "rows_equal_to_ours": ours and _equal(runs[-1], ours[-1]),
            "breakdown": runs[-1].breakdown,
        }
    return {
        "rows": len(workload.prompts),
        "prompt_tokens": sum(map(len, workload.prompts)),
        "new_tokens": sum(workload.new_tokens),
        "unit": "rows" if workload.choices else "tokens",
        "floor_seconds": floor.seconds(speed),
        "contenders": contenders,
    }


def _equal(one: Result, other: Result) -> int | None:
    """Rows with the same tokens, or with scores within 1e-4; None where they can't be compared."""
    if one.token_ids is not None and other.token_ids is not None:
        return sum(a == b for a, b in zip(one.token_ids, other.token_ids, strict=True))
    if one.choice_logprobs is not None and other.choice_logprobs is not None:
        pairs = zip(one.choice_logprobs, other.choice_logprobs, strict=True)
        return sum(max(abs(a - b) for a, b in zip(x, y, strict=True)) < 1e-4 for x, y in pairs)
    return None
