"""Profiles of steps: how busy the device is and with what, and how often the host waits for it."""

import time
import warnings

import torch
from torch.profiler import ProfilerActivity, profile

from benchmarks.device.setting import Setting, Table, decode_all, random_prompts
from model.engine import Engine
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams

_MOST_STEPS = 8
_KERNELS = 15  # that are shown: those that take most time


def measure(setting: Setting) -> Table:
    found: Table = []
    rows, steps = setting.pick(240, 3), setting.pick(_MOST_STEPS, 2)
    with setting.engine(rows + steps + 1, cache_tokens=setting.pick(200_000, None)) as engine:
        decode_all(engine, rows, context=setting.pick(250, 8), further=4 * steps)
        for admitting in (False, True):
            found += _profiled(setting, engine, admitting, steps)
        found.append(_row("waits of a step that admits a row", "", _waits(setting, engine)))
    return found


def _profiled(setting: Setting, engine: Engine, admitting: bool, steps: int) -> Table:
    kind = "admitting" if admitting else "captured"
    activities = [ProfilerActivity.CPU, *setting.pick([ProfilerActivity.CUDA], [])]
    with profile(activities=activities) as profiled:
        started = time.perf_counter()
        for i in range(steps):
            if admitting:
                _submit_prompt(setting, engine, i)
            engine.step()
        setting.wait()
        milliseconds = 1e3 * (time.perf_counter() - started)
    kernels = [event for event in profiled.key_averages() if event.self_device_time_total]
    kernels.sort(key=lambda event: -event.self_device_time_total)
    busy = sum(event.self_device_time_total for event in kernels) / 1e3
    return [
        _row(f"{kind}: a step", sum(event.count for event in kernels) / steps, milliseconds / steps),
        _row(f"{kind}: of that the device is busy", "", busy / steps),
        *(
            _row(f"{kind}: {event.key[:60]}", event.count / steps, event.self_device_time_total / 1e3 / steps)
            for event in kernels[:_KERNELS]
        ),
    ]


def _waits(setting: Setting, engine: Engine) -> int | None:
    """How often the host waits for the device, as torch notices it: it misses copies from unpinned memory."""
    if setting.rehearsal:
        return None
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        _submit_prompt(setting, engine, _MOST_STEPS)
        engine.step()
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(warning.message) for warning in said)


def _submit_prompt(setting: Setting, engine: Engine, i: int) -> None:
    [prompt] = random_prompts(engine.config.vocab_size, [setting.pick(400, 12)])
    engine.submit(Request(f"admitted {i}", prompt, SamplingParams(max_new_tokens=64, ignore_eos=True)))


def _row(what: str, count: object, value: object) -> dict[str, object]:
    return {"what": what, "kernels a step": count, "ms, or number": value}
