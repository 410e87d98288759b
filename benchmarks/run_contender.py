"""`python -m benchmarks.run_contender TASK`: runs one contender, prints its result, both as JSON."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.contender import IN_TURN, INT8, NO_STATISTICS, Result, Task
from benchmarks.peak_memory import peak_memory
from benchmarks.random_checkpoint import has_weights
from benchmarks.workload import Workload
from benchmarks.workloads import WORKLOADS
from model.config import ModelConfig
from model.machine.device import compute_dtype, default_device


def _ours(task: Task, workload: Workload) -> Result:
    from benchmarks.late_arrival import run_with_late_rows
    from benchmarks.ours import profile, run_in_turn, run_ours
    from model.engine import Engine

    in_8_bits, in_turn = task.contender == INT8, task.contender == IN_TURN
    started = time.perf_counter()
    engine = Engine.load(
        task.folder,
        "float32" if in_8_bits else task.dtype,  # of what is not in 8 bits
        threads=task.threads,
        quantization="int8" if in_8_bits else "none",
        statistics=task.contender != NO_STATISTICS,
        random_weights=not has_weights(Path(task.folder)),
        kv_cache_tokens=workload.cache_tokens,
    )
    loaded = time.perf_counter() - started
    if torch.cuda.is_available():
        run_ours(engine, workload)  # kernels are compiled and steps captured once in a process
    cpu, steps = time.process_time(), None
    if workload.late:
        run, steps = run_with_late_rows(engine, workload)
    else:
        run = run_in_turn(engine, workload) if in_turn else run_ours(engine, workload)
    cpu = time.process_time() - cpu
    peak = _peak()
    return Result(
        task.contender,
        run.seconds,
        cpu,
        loaded,
        peak,
        None if run.choice_logprobs is not None else run.token_ids,
        run.choice_logprobs,
        None if workload.late or in_turn else asdict(profile(engine, workload)),
        steps,
    )


def _transformers(task: Task, workload: Workload) -> Result:
    from benchmarks import transformers_peer as peer

    _, how, *size = task.contender.split()
    started = time.perf_counter()
    model = peer.load(Path(task.folder), task.dtype)
    loaded = time.perf_counter() - started
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


def _llama(task: Task, workload: Workload) -> Result:
    from benchmarks import llama_peer as peer

    assert task.llama_server is not None
    assert task.gguf is not None
    slots = int(task.contender.split()[-1])
    started = time.perf_counter()
    with peer.running(
        task.llama_server, Path(task.gguf), workload.longest, slots, task.threads, _dtype(task)
    ) as server:
        loaded = time.perf_counter() - started
        cpu, started = server.cpu_seconds(), time.perf_counter()
        token_ids = server.generate(workload)
        seconds = time.perf_counter() - started
        cpu = server.cpu_seconds() - cpu
        peak = peak_memory(server.process.pid)
    return Result(task.contender, seconds, cpu, loaded, peak, token_ids, None, None)


def _vllm(task: Task, workload: Workload) -> Result:
    from benchmarks.vllm_peer import run_vllm

    assert task.vllm is not None
    found = run_vllm(task.vllm, Path(task.folder), workload, _dtype(task), task.threads)
    note = found.version
    if workload.allowed_tokens:
        note += "; told in advance how long each row becomes, since nothing else can end its rows"
    return Result(
        task.contender,
        found.seconds,
        found.cpu_seconds,
        found.load_seconds,
        found.peak_bytes,
        found.token_ids,
        found.choice_logprobs,
        None,
        note=note,
    )


def _dtype(task: Task) -> torch.dtype:
    return compute_dtype(task.dtype, ModelConfig.from_folder(task.folder), default_device())


def _peak() -> int:
    """The peak of this process' memory in bytes; where there is a GPU, of the GPU's memory."""
    return torch.cuda.max_memory_allocated() if torch.cuda.is_available() else peak_memory()


_BY_FIRST_WORD = {"mixtray": _ours, "hf": _transformers, "llama.cpp": _llama, "vllm": _vllm}


if __name__ == "__main__":
    given = Task(**json.loads(sys.argv[1]))
    torch.set_num_threads(given.threads)
    rows = WORKLOADS[given.workload](ModelConfig.from_folder(given.folder).vocab_size, given.rows)
    result = _BY_FIRST_WORD[given.contender.split()[0]](given, rows)
    print(json.dumps(asdict(result)))
