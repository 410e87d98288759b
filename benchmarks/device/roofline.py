"""Decode steps beside what reading the weights and the cache once takes at the measured bandwidth."""

import time

from benchmarks.device.setting import Setting, Table, decode_all, leave_all
from benchmarks.floors import Speed
from model.machine.budget import bytes_per_token, weight_bytes


def measure(setting: Setting) -> Table:
    # On a CPU this takes long, and the figure does not count.
    speed = Speed(1e9, 1e9) if setting.rehearsal else Speed.of(setting.device, setting.dtype)
    steps = setting.pick(20, 2)
    loads = setting.pick(((1, 600), (64, 600), (256, 300), (256, 600)), ((2, 8),))
    found: Table = []
    with setting.engine(max(rows for rows, _ in loads), cache_tokens=setting.pick(240_000, None)) as engine:
        weights = weight_bytes(engine.config, setting.dtype)
        a_token = bytes_per_token(engine.config, setting.dtype, tensor_parallel=1)
        for rows, context in loads:
            decode_all(engine, rows, context, further=steps)
            started = time.perf_counter()
            for _ in range(steps):
                engine.step()
            taken = (time.perf_counter() - started) / steps
            leave_all(engine)
            limit = (weights + rows * context * a_token) / speed.bytes_a_second
            found.append(
                {
                    "rows": rows,
                    "context": context,
                    "limit ms": 1e3 * limit,
                    "measured ms": 1e3 * taken,
                    "of the limit": limit / taken,
                    "tokens/s": rows / taken,
                }
            )
    return found
