"""A prompt of nearly the whole context beside many rows: does memory suffice, and does the engine recover?"""

import time

import torch

from benchmarks.device.setting import Setting, Table, decode_all, random_prompts, tokens_of_a_step
from model.engine import Engine
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

_HELD = 0.98  # share of the free memory; the step cannot fit into the rest


def measure(setting: Setting) -> Table:
    context, rows = setting.pick(32_768, 512), setting.pick(250, 3)
    found: Table = []
    with setting.engine(rows + 1, context) as engine:
        decode_all(engine, rows, context=setting.pick(200, 8), further=60)
        for name in ("memory as it is", "most of it held by another"):
            held = _hold(setting) if name.startswith("most") else None
            found.append({"what": name} | _step_with_a_long_prompt(engine, context - 60, name))
            del held
        engine.step()
        found.append({"what": "later, without the long prompt"} | _state(engine, 0.0))
    return found


def _hold(setting: Setting) -> torch.Tensor | None:
    if setting.rehearsal:
        return None
    torch.cuda.empty_cache()
    return torch.empty(int(_HELD * torch.cuda.mem_get_info()[0]), dtype=torch.uint8, device=setting.device)


def _step_with_a_long_prompt(engine: Engine, length: int, key: str) -> dict[str, object]:
    [prompt] = random_prompts(engine.config.vocab_size, [length])
    engine.submit(Request(key, prompt, SamplingParams(max_new_tokens=2, ignore_eos=True)))
    started = time.perf_counter()
    engine.step()
    taken = time.perf_counter() - started
    engine.step()  # the long row's last token
    return _state(engine, taken)


def _state(engine: Engine, seconds: float) -> dict[str, object]:
    return {
        "s": seconds,
        "rows that run": len(engine.scheduler.running.rows),
        "tokens a step at most": tokens_of_a_step(engine),
    }
