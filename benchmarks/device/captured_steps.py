"""Captured steps beside the same steps operator by operator: the same tokens, in how much less time?"""

import time

import numpy as np

from benchmarks.device.setting import Setting, Table, decode_all, leave_all, random_prompts, uncaptured
from model.engine import Engine
from model.sampling.sampling_params import SamplingParams


def measure(setting: Setting) -> Table:
    with setting.engine(rows=setting.pick(256, 4), cache_tokens=setting.pick(130_000, None)) as engine:
        return [*_agreement(setting, engine), *_times(setting, engine)]


def _agreement(setting: Setting, engine: Engine) -> Table:
    lengths = np.random.default_rng(0).integers(20, 300, setting.pick(48, 3)).tolist()
    prompts = random_prompts(engine.config.vocab_size, lengths)
    params = SamplingParams(max_new_tokens=setting.pick(24, 3), ignore_eos=True)

    def tokens() -> list[list[int]]:
        return [completion.token_ids for completion in engine.generate(prompts, params)]

    first, second = tokens(), tokens()
    with uncaptured(engine):
        plain = tokens()
    return [
        {"what": "tokens equal in two captured runs", "found": _equal(first, second)},
        {"what": "tokens equal captured and not", "found": _equal(first, plain)},
    ]


def _times(setting: Setting, engine: Engine) -> Table:
    found: Table = []
    steps = setting.pick(20, 2)
    for rows in setting.pick((1, 32, 256), (2,)):
        decode_all(engine, rows, context=setting.pick(128, 8), further=2 * steps)
        captured = _milliseconds(setting, engine, steps)
        with uncaptured(engine):
            plain = _milliseconds(setting, engine, steps)
        leave_all(engine)
        found.append({"what": f"{rows} rows decode captured, ms", "found": captured})
        found.append({"what": f"{rows} rows decode uncaptured, ms", "found": plain})
    return found


def _milliseconds(setting: Setting, engine: Engine, steps: int) -> float:
    setting.wait()
    started = time.perf_counter()
    for _ in range(steps):
        engine.step()
    return 1e3 * (time.perf_counter() - started) / steps


def _equal(one: list[list[int]], other: list[list[int]]) -> float:
    return float(np.mean(np.equal(one, other)))
