"""What a GPU is and what it does at best: all other figures are read against these."""

import importlib.util
import shutil
import subprocess
import time

import torch

from benchmarks.device.setting import Setting, Table
from benchmarks.floors import Speed
from benchmarks.machine import machine

_COPIED = 1 << 28  # bytes


def measure(setting: Setting) -> Table:
    facts: dict[str, object] = {**machine(torch.get_num_threads()), "driver": _driver()}
    facts["size of the model"] = setting.size()
    for package in ("triton", "flash_attn"):
        facts[package] = importlib.util.find_spec(package) is not None
    if not setting.rehearsal:
        properties = torch.cuda.get_device_properties(0)
        facts["compute capability"] = f"{properties.major}.{properties.minor}"
        facts["multiprocessors"] = properties.multi_processor_count
        facts["memory, GB"] = properties.total_memory / 1e9
    speed = Speed.of(setting.device, setting.dtype)
    facts["read, TB/s"] = speed.bytes_a_second / 1e12
    facts["multiplied, TFLOP/s"] = speed.flops / 1e12
    for pinned in (False, True):
        facts[f"copied to it, {'pinned' if pinned else 'pageable'}, GB/s"] = _copy_rate(setting, pinned)
    return [{"what": name, "found": found} for name, found in facts.items()]


def _driver() -> str | None:
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    command = [program, "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def _copy_rate(setting: Setting, pinned: bool) -> float | None:
    if setting.rehearsal:
        return None
    host = torch.ones(_COPIED, dtype=torch.uint8, pin_memory=pinned)
    host.to(setting.device)
    started = time.perf_counter()
    host.to(setting.device)
    setting.wait()
    return _COPIED / (time.perf_counter() - started) / 1e9
