"""A roofline of the engine's steps: what each part moves and computes, what that costs, what it takes.

    python -m benchmarks.roofline --dtype bfloat16 --rows 64 --context 160

Prints Markdown: a decode step of so many rows, and the prefill of as many tokens as a step prefills. Random
weights. The clocks cost a little themselves. A part that the network has no module for counts to the rest.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.floors import Speed
from benchmarks.nested_clocks import nested_clocks
from benchmarks.random_checkpoint import SIZES, checkpoint_or_random, has_weights
from benchmarks.step_parts import CACHE, EXPERTS, HEAD, NORMS, PROJECTIONS, ROUTER, Load, Part, step_parts
from benchmarks.workload import random_tokens
from model.engine import Engine
from model.machine.budget import STEP_TOKENS
from model.machine.device import dtype_name
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

# By the end of a module's name; what it takes without the modules within.
_MODULES = {
    "attention.wqkv": PROJECTIONS,
    "attention.wo": PROJECTIONS,
    "attention": CACHE,
    "feed_forward": EXPERTS,
    "attention_norm": NORMS,
    "ffn_norm": NORMS,
    "norm": NORMS,
    "head": HEAD,
}
REST = "the rest: embedding, sampling, counting, scheduling"
_WARM_UP = 2  # steps, before those that count
Seconds = dict[str, float]  # of a step, by part


def main(arguments: list[str] | None = None) -> None:
    given = _parse(arguments)
    with checkpoint_or_random(given.checkpoint, given.size) as folder:
        engine = Engine.load(
            folder,
            given.dtype,
            threads=given.threads,
            max_batch_rows=max(given.rows, STEP_TOKENS // given.prompt),
            random_weights=not has_weights(folder),
        )
        try:
            _report(engine, given)
        finally:
            engine.close()


def _report(engine: Engine, given: argparse.Namespace) -> None:
    executor = engine.ranks.local
    dtype = next(executor.model.parameters()).dtype
    speed = Speed.of(executor.device, dtype)
    print(
        f"{given.checkpoint or given.size} in {dtype_name(dtype)}; the machine reads "
        f"{speed.bytes_a_second / 1e9:.1f} GB/s and multiplies at {speed.flops / 1e9:.0f} GFLOP/s; "
        f"medians of {given.steps} steps\n"
    )
    rows, context, length = given.rows, given.context, given.prompt
    prompts = max(1, STEP_TOKENS // length)
    loads = {
        f"A decode step: {rows} rows, {context} tokens each in the cache": (
            Load(rows, rows, context, prefill=False),
            decode_steps(engine, rows, context, given.steps),
        ),
        f"Prefilling {prompts} prompts of {length} tokens": (
            Load(prompts * length, prompts, (length + 1) / 2, prefill=True),
            prefills(engine, prompts, length, max(1, given.steps // 4)),
        ),
    }
    for title, (load, steps) in loads.items():
        parts = step_parts(engine.config, load, dtype.itemsize)
        print(f"{title}\n\n{table(parts, speed, list(steps))}\n")


def table(parts: dict[str, Part], speed: Speed, steps: list[Seconds]) -> str:
    """Markdown: a line for each part, one for the rest of the steps, one for all."""
    total = Part(sum(part.bytes for part in parts.values()), sum(part.operations for part in parts.values()))
    floor = sum(part.seconds(speed) for part in parts.values())
    lines = ["| part | MB | GFLOP | floor, ms | measured, ms | of the floor |", "|---|---|---|---|---|---|"]
    for name, part in parts.items():
        taken = median(step.get(name, 0.0) for step in steps)
        lines.append(_line(name, part, part.seconds(speed), taken))
    rest = median(step[REST] for step in steps)
    lines.append(f"| {REST} | | | | {1e3 * rest:.2f} | |")
    lines.append(_line("**all**", total, floor, median(sum(step.values()) for step in steps)))
    return "\n".join(lines)


def decode_steps(engine: Engine, rows: int, context: int, count: int) -> Iterator[Seconds]:
    """Each of `count` steps in which all rows decode, on average with `context` tokens in the cache."""
    begun: set[int] = set()
    params = SamplingParams(max_new_tokens=count + rows + _WARM_UP, ignore_eos=True)
    prompts = _prompts(engine, rows, max(1, context - count // 2), seed=0)
    for row, prompt in enumerate(prompts):
        engine.submit(Request(f"decode {row}", prompt, params, should_stop=_note(begun, row)))
    while len(begun) < rows:
        engine.step()
    for _ in range(_WARM_UP):
        engine.step()
    for _ in range(count):
        yield _timed_step(engine)
    while not engine.idle:
        engine.step()


def prefills(engine: Engine, rows: int, length: int, count: int) -> Iterator[Seconds]:
    """Each of `count` times that so many prompts are prefilled, in as many steps as that takes.

    No two prompts begin alike, lest the engine compute what they share once.
    """
    params = SamplingParams(max_new_tokens=1, ignore_eos=True)
    for again in range(count + 1):  # the first time makes the kernels
        for row, prompt in enumerate(_prompts(engine, rows, length, seed=1 + again)):
            engine.submit(Request(f"prefill {row}", prompt, params))
        seconds: Seconds = {}
        while not engine.idle:
            for name, taken in _timed_step(engine).items():
                seconds[name] = seconds.get(name, 0.0) + taken
        if again:
            yield seconds


def _timed_step(engine: Engine) -> Seconds:
    with nested_clocks(engine, _MODULES, ROUTER, EXPERTS) as clocks:
        started = time.perf_counter()
        engine.step()
        whole = time.perf_counter() - started
    return {**clocks, REST: whole - sum(clocks.values())}


def _prompts(engine: Engine, rows: int, length: int, seed: int) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [random_tokens(rng, engine.config.vocab_size, length) for _ in range(rows)]


def _note(begun: set[int], row: int) -> Callable[[int], bool]:
    """A should_stop that stops nothing: it notes that the row has a token."""

    def note(_: int) -> bool:
        begun.add(row)
        return False

    return note


def _line(name: str, part: Part, floor: float, taken: float) -> str:
    """A part that no clock has seen is in the rest."""
    measured = f"{1e3 * taken:.2f} | {floor / taken:.0%}" if taken else "in another line |"
    needed = f"{part.bytes / 1e6:,.1f} | {part.operations / 1e9:,.2f} | {1e3 * floor:.2f}"
    return f"| {name} | {needed} | {measured} |"


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.roofline", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--checkpoint", type=Path, help="a folder; default: random weights")
    parser.add_argument("--size", default="214m", choices=SIZES, help="of the random weights")
    parser.add_argument("--dtype", default="auto", choices=("auto", "float32", "bfloat16"))
    parser.add_argument("--rows", type=int, default=64, help="that decode together")
    parser.add_argument("--context", type=int, default=160, help="tokens of each in the cache")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of each prompt that is prefilled")
    parser.add_argument("--steps", type=int, default=20, help="that are measured")
    parser.add_argument("--threads", type=int, help="of the CPU")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    main()
