"""The engine against its peers: alternating runs of the same workload."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks.choose_contenders import choose_contenders, told
from benchmarks.contender import LLAMA, VLLM, Result, Task, measure
from benchmarks.engine_summary import summary
from benchmarks.floors import Floor, Speed
from benchmarks.machine import machine
from benchmarks.random_checkpoint import checkpoint_or_random
from benchmarks.same_tokens import same_tokens
from benchmarks.workloads import WORKLOADS
from model.config import ModelConfig
from model.machine.device import compute_dtype, default_device, dtype_name


def bench_engine(
    workloads: list[str],
    *,
    checkpoint: Path | None = None,
    size: str = "214m",
    rows: int | None = None,
    threads: int | None = None,
    repeats: int = 3,
    only: list[str] | None = None,
    llama_server: Path | None = None,
    vllm: Path | None = None,
    dtype: str = "auto",
    progress: Callable[[str], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
    keep: Callable[[dict[str, Any]], None] = lambda _: None,
) -> dict[str, Any]:
    """A report, ready for JSON: the machine, and for each workload what each contender took.

    With `llama_server`, the path of its server, llama.cpp generates too; it takes a checkpoint of one file.
    With `vllm`, the path of an interpreter that has it, vLLM takes part: see `benchmarks.vllm_peer`. All
    compute in `dtype`; what is in 8 bits computes the rest in float32.

    Before anything is measured, `tell` is given a sentence about contenders that are left out because a
    package is not installed. A contender that fails takes no further part, and the report says so. `keep` is
    given the report after every measurement. After the first round, each peer goes on in its fastest setting.

    Raises:
        ValueError: nobody's name has one of `only` in it, nobody is left, or llama.cpp or vLLM has no part
            in this.
    """
    device = default_device()
    peers = {"llama": llama_server is not None, "vllm": vllm is not None}
    chosen = {kind: choose_contenders(kind, only or [], device, **peers) for kind in workloads}
    named = [name for contenders, left_out in chosen.values() for name in (*contenders, *left_out)]
    if llama_server and not set(named) & set(LLAMA):
        raise ValueError("llama.cpp is a contender on CPUs alone, where tokens are generated")
    if vllm and VLLM not in named:
        raise ValueError("vLLM is a contender on CPUs alone, and has no part in `long`")
    for sentence in told({name: why for _, left_out in chosen.values() for name, why in left_out.items()}):
        tell(sentence)
    threads = threads or torch.get_num_threads()
    with ExitStack() as stack:
        folder = stack.enter_context(checkpoint_or_random(checkpoint, size))
        config = ModelConfig.from_folder(folder)
        torch.set_num_threads(threads)
        computed = compute_dtype(dtype, config, device)
        speed = Speed.of(device, computed)
        programs: dict[str, str] = {} if vllm is None else {"vllm": str(vllm)}
        if any(name in LLAMA for contenders, _ in chosen.values() for name in contenders):
            programs |= {"llama_server": str(llama_server)}
            programs |= {"gguf": str(stack.enter_context(_gguf(folder, computed)))}
        report: dict[str, Any] = {
            "machine": machine(threads) | asdict(speed),
            "model": size if checkpoint is None else checkpoint.name,
            "dtype": dtype_name(computed),
            "workloads": {},
        }
        for kind, (contenders, left_out) in chosen.items():
            workload = WORKLOADS[kind](config.vocab_size, rows)
            floor = Floor.of(workload, config, computed)
            results: dict[str, list[Result]] = {}
            failed: dict[str, str] = {}
            for repeat in range(repeats):
                for contender in contenders:
                    progress(f"{kind}, {repeat + 1} of {repeats}: {contender}")
                    task = Task(contender, str(folder), kind, rows, threads, dtype_name(computed), **programs)
                    try:
                        result = measure(task)
                    except RuntimeError as error:
                        failed[contender] = str(error)
                    else:
                        results.setdefault(contender, []).append(result)
                    report["workloads"][kind] = {
                        **summary(workload, results, floor, speed),
                        "left_out": told(left_out),
                        "failed": failed,
                    }
                    keep(report)
                contenders = [name for name in _best_settings(results) if name not in failed]
            progress(f"{kind}: comparing tokens")
            try:
                compared = same_tokens(workload, results, str(folder), threads, computed)
            except RuntimeError as error:
                failed["comparing with transformers"] = str(error)
            else:
                report["workloads"][kind]["transformers_tokens"] = compared
            keep(report)
    return report


@contextmanager
def _gguf(folder: Path, dtype: torch.dtype) -> Iterator[Path]:
    """The checkpoint as llama.cpp reads it."""
    from benchmarks.gguf_checkpoint import write_gguf  # needs the extra `bench`

    with tempfile.TemporaryDirectory(prefix="gguf-") as temporary:
        file = Path(temporary, "model.gguf")
        write_gguf(folder, file, dtype)
        yield file


def _best_settings(results: dict[str, list[Result]]) -> list[str]:
    """The contenders; of names that differ only in the number at the end, the fastest in the first round."""
    best: dict[str, str] = {}
    for name, runs in results.items():
        peer = name.rstrip(" 0123456789")
        rival = best.get(peer)
        if rival is None or runs[0].seconds < results[rival][0].seconds:
            best[peer] = name
    return list(best.values())
