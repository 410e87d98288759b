"""The engine on a load of MLPerf's lengths: its rate, and what share of its steps is captured."""

import time

import numpy as np
import torch

from benchmarks.device.setting import Setting, Table, tokens_of_a_step
from benchmarks.workloads import conversations
from model.engine import Engine

_MOST_SECONDS = 60


def measure(setting: Setting) -> Table:
    found = []
    for rows in setting.pick((256, 640), (4,)):
        started = time.monotonic()
        with setting.engine(rows) as engine:
            loaded = time.monotonic() - started
            found.append({"rows": rows, "load s": loaded} | _run(setting, engine))
        if not setting.rehearsal:
            torch.cuda.empty_cache()
    return found


def _run(setting: Setting, engine: Engine) -> dict[str, object]:
    """Run the load for a minute at most: the rate of a part stands for the whole."""
    workload = conversations(engine.config.vocab_size, setting.pick(900, 6))
    if setting.rehearsal:
        workload.new_tokens[:] = [min(new, 3) for new in workload.new_tokens]
        workload.prompts[:] = [prompt[:20] for prompt in workload.prompts]
    for request in workload.requests():
        engine.submit(request)
    milliseconds: dict[str, list[float]] = {"captured": [], "admitting": []}
    tokens, started = 0, time.monotonic()
    while not engine.idle and time.monotonic() - started < _MOST_SECONDS:
        waiting, begun = engine.scheduler.waiting, time.perf_counter()
        tokens += sum(len(completion.token_ids) for completion in engine.step())
        kind = "admitting" if engine.scheduler.waiting < waiting else "captured"
        milliseconds[kind].append(1e3 * (time.perf_counter() - begun))
    seconds = time.monotonic() - started
    tokens += sum(len(s.reading.answer.token_ids) for s in engine.scheduler.running.rows.values())
    return {
        "output tokens/s": tokens / seconds,
        "cache tokens": engine.cache_tokens,
        "tokens a step at most": tokens_of_a_step(engine),
        **{f"{kind} steps": len(taken) for kind, taken in milliseconds.items()},
        **{f"{kind} ms": float(np.median(taken)) if taken else None for kind, taken in milliseconds.items()},
        "reserved GB": None if setting.rehearsal else torch.cuda.max_memory_reserved() / 1e9,
    }
