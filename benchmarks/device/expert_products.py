"""The experts' two grouped products: bytes a second for few tokens, operations for many."""

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.device.setting import Setting, Table

_SHARES = {"even": [1] * 8, "uneven": [4, 2, 2, 2, 1, 1, 1, 1]}  # of the tokens, by expert


def measure(setting: Setting) -> Table:
    dim, hidden = setting.pick((4096, 14336), (16, 32))
    experts = len(_SHARES["even"])

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=setting.device, dtype=torch.bfloat16)

    w13, w2 = random(experts, 2 * hidden, dim), random(experts, dim, hidden)
    found: Table = []
    for tokens in setting.pick((8, 64, 256, 640, 1024, 4096, 8192), (8,)):
        x, between = random(2 * tokens, dim), random(2 * tokens, hidden)
        for name, share in _SHARES.items():
            ends = torch.from_numpy(np.round(np.cumsum(share) / sum(share) * 2 * tokens)).to(
                setting.device, torch.int32
            )
            first = setting.milliseconds(lambda: F.grouped_mm(x, w13.mT, offs=ends), 15)  # noqa: B023
            second = setting.milliseconds(lambda: F.grouped_mm(between, w2.mT, offs=ends), 15)  # noqa: B023
            seconds, weights = 1e-3 * (first + second), w13.numel() + w2.numel()
            found.append(
                {
                    "tokens": tokens,
                    "shares": name,
                    "w13 ms": first,
                    "w2 ms": second,
                    "TB/s": 2 * weights / seconds / 1e12,
                    "TFLOP/s": 2 * 2 * tokens * weights / experts / seconds / 1e12,
                }
            )
    return found
