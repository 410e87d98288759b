"""The memory that steps take beside weights and cache; the engine leaves them 15 % of what weights leave."""

import torch

from benchmarks.device.setting import Setting, Table, random_prompts
from model.engine import Engine
from model.requests.choice_scores import ChoiceScores
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams


def measure(setting: Setting) -> Table:
    context = setting.pick(32_768, 512)
    found: Table = []
    with setting.engine(setting.pick(256, 4), context) as engine:
        for name, requests in _steps(setting, engine).items():
            taken = setting.peak_bytes(lambda: engine.run(requests))  # noqa: B023
            found.append(
                {"step": name, "GB": None if taken is None else taken / 1e9, "free GB": _free(setting)}
            )
    return found


def _steps(setting: Setting, engine: Engine) -> dict[str, list[Request]]:
    few = SamplingParams(max_new_tokens=2, ignore_eos=True)
    lengths = {
        "a step's budget of prompts": setting.pick([128] * 32, [8] * 3),
        "one prompt of 8,000 tokens": [setting.pick(8_000, 40)],
        "one prompt of 32,000 tokens": [setting.pick(32_000, 80)],
        "labels of 50 choices": setting.pick([30] * 51, [8] * 3),
    }
    scores = ChoiceScores.of([[3 + i, 100 + i] for i in range(setting.pick(50, 5))])
    found = {}
    for name, of_prompts in lengths.items():
        prompts = random_prompts(engine.config.vocab_size, of_prompts)
        readout = scores if name.startswith("labels") else None
        found[name] = [
            Request(f"{name} {i}", p, None if readout else few, readout) for i, p in enumerate(prompts)
        ]
    return found


def _free(setting: Setting) -> float | None:
    return None if setting.rehearsal else torch.cuda.mem_get_info()[0] / 1e9
