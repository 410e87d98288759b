"""One contender, one workload, one fresh process: what it took, and what came out."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.own_process import call
from benchmarks.peak_memory import peak_memory
from benchmarks.random_checkpoint import has_weights
from benchmarks.workloads import WORKLOADS
from model.config import ModelConfig

OURS = "mixtray"
INT8 = f"{OURS} int8"
NO_STATISTICS = f"{OURS} without statistics"
GENERATING = [OURS, INT8, "hf static 16", "hf static 32", "hf static 64", "hf continuous"]
LLAMA = ["llama.cpp 16", "llama.cpp 32", "llama.cpp 64"]
LABELLING = [OURS, INT8, "hf scores 16", "hf scores 64", "hf generates 16", "hf generates 64"]


@dataclass(frozen=True)
class Task:
    contender: str
    folder: str
    workload: str
    rows: int | None
    threads: int
    llama_server: str | None = None  # the path of its program
    gguf: str | None = None  # the same weights as `folder` has


@dataclass(frozen=True)
class Result:
    contender: str
    seconds: float
    cpu_seconds: float
    load_seconds: float
    peak_bytes: int
    token_ids: list[list[int]] | None
    choice_logprobs: list[list[float]] | None
    breakdown: dict[str, Any] | None


def measure(task: Task) -> Result:
    """RuntimeError, with the last words of the process, if it fails."""
    return Result(**call("benchmarks.contender", asdict(task), task.threads))


def _ours(task: Task) -> Result:
    from benchmarks.ours import profile, run_ours
    from model.engine import Engine

    started = time.perf_counter()
    engine = Engine.load(
        task.folder,
        threads=task.threads,
        quantization="int8" if task.contender == INT8 else "none",
        statistics=task.contender != NO_STATISTICS,
        random_weights=not has_weights(Path(task.folder)),
    )
    loaded = time.perf_counter() - started
    workload = WORKLOADS[task.workload](engine.config.vocab_size, task.rows)
    if torch.cuda.is_available():
        run_ours(engine, workload)  # kernels are compiled and steps captured once in a process
    cpu = time.process_time()
    run = run_ours(engine, workload)
    cpu = time.process_time() - cpu
    peak = _peak()
    breakdown = asdict(profile(engine, workload))
    scored = run.choice_logprobs is not None
    return Result(
        task.contender,
        run.seconds,
        cpu,
        loaded,
        peak,
        None if scored else run.token_ids,
        run.choice_logprobs,
        breakdown,
    )


def _transformers(task: Task) -> Result:
    from benchmarks import transformers_peer as peer

    _, how, *size = task.contender.split()
    started = time.perf_counter()
    model = peer.load(Path(task.folder))
    loaded = time.perf_counter() - started
    workload = WORKLOADS[task.workload](model.config.vocab_size, task.rows)
    call: Callable[[], Any]
    if how == "static":
        call = partial(peer.generate_static, model, workload, int(size[0]))
    elif how == "continuous":
        call = partial(peer.generate_continuous, model, workload)
    elif how == "scores":
        call = partial(peer.score_choices, model, workload, int(size[0]))
    else:
        call = partial(peer.generate_labels, model, workload, int(size[0]))
    if torch.cuda.is_available():
        call()
    cpu, started = time.process_time(), time.perf_counter()
    result: Any = call()
    seconds = time.perf_counter() - started
    token_ids = result if how in ("static", "continuous") else None
    scores = result if how == "scores" else None
    cpu = time.process_time() - cpu
    return Result(task.contender, seconds, cpu, loaded, _peak(), token_ids, scores, None)


def _llama(task: Task) -> Result:
    from benchmarks import llama_peer as peer

    assert task.llama_server is not None
    assert task.gguf is not None
    config = ModelConfig.from_folder(task.folder)
    workload = WORKLOADS[task.workload](config.vocab_size, task.rows)
    slots = int(task.contender.split()[-1])
    started = time.perf_counter()
    with peer.running(task.llama_server, Path(task.gguf), workload.longest, slots, task.threads) as server:
        loaded = time.perf_counter() - started
        cpu, started = server.cpu_seconds(), time.perf_counter()
        token_ids = server.generate(workload)
        seconds = time.perf_counter() - started
        cpu = server.cpu_seconds() - cpu
        peak = peak_memory(server.process.pid)
    return Result(task.contender, seconds, cpu, loaded, peak, token_ids, None, None)


def _peak() -> int:
    """The peak of this process' memory in bytes; where there is a GPU, of the GPU's memory."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory()


if __name__ == "__main__":
    given = Task(**json.loads(sys.argv[1]))
    torch.set_num_threads(given.threads)
    run = {"mixtray": _ours, "hf": _transformers, "llama.cpp": _llama}[given.contender.split()[0]]
    result = run(given)
    print(json.dumps(asdict(result)))
