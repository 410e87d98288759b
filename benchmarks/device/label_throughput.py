"""Labels a second, with the instruction computed once for all rows and with each row's own."""

import time

import numpy as np

from benchmarks.device.setting import Setting, Table, scores
from benchmarks.workloads import label


def measure(setting: Setting) -> Table:
    rows = setting.pick(256, 3)
    with setting.engine(rows) as engine:
        workload = label(engine.config.vocab_size, rows)
        choices = workload.choices or []
        found: Table = []
        logprobs = []
        for shared in (False, True):
            engine.scheduler.shares = shared
            if not setting.rehearsal:
                scores(engine, workload.prompts, choices)  # compiles kernels
            started = time.perf_counter()
            logprobs.append(scores(engine, workload.prompts, choices))
            rate = rows / (time.perf_counter() - started)
            found.append(
                {"what": f"labels a second, prefix {'shared' if shared else 'of each row'}", "found": rate}
            )
    apart = float(np.abs(logprobs[0] - logprobs[1]).max())
    found.append({"what": "largest difference of a log-probability", "found": apart})
    return found
