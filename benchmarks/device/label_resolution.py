"""What rounding the head's sums to bfloat16 does to a label's probability: the demo's checkpoint, both ways.

From 8 to 16 the numbers of bfloat16 are 0.0625 apart, from 16 to 32 0.125: labels of near probabilities move.
"""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.device.setting import Setting, Table, random_prompts, replace_head, scores
from model.engine import Engine

_CHECKPOINT = Path(__file__).parents[2] / "configs" / "demo" / "tiny-mixtral"
_UNSURE = 0.95  # labels of less than this probability


class Head(nn.Module):
    """The head in bfloat16, its sums in float32; rounded at the end, or not."""

    def __init__(self, weight: Tensor, rounded: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.float(), requires_grad=False)
        self.rounded = rounded

    def forward(self, x: Tensor) -> Tensor:  # [n, D] -> [n, V]
        logits = F.linear(x.float(), self.weight)
        return logits.to(torch.bfloat16) if self.rounded else logits


def measure(setting: Setting) -> Table:
    engine = Engine.load(_CHECKPOINT, "bfloat16", kv_cache_tokens=8192, statistics=False)
    vocab_size = engine.config.vocab_size
    prompts = random_prompts(vocab_size, [setting.pick(40, 6)] * setting.pick(400, 4))
    choices = random_prompts(vocab_size, [1, 2, 2, 3, 1])
    weight = _head_weight()
    found = []
    for rounded in (True, False):
        replace_head(engine, Head(weight.to(setting.device), rounded))
        found.append(_probabilities(scores(engine, prompts, choices)))
    engine.close()
    rounded_ones, exact = found
    difference = np.abs(rounded_ones - exact).max(1)
    unsure = exact.max(1) < _UNSURE
    facts = {
        "prompts": len(exact),
        "labels that change": int((rounded_ones.argmax(1) != exact.argmax(1)).sum()),
        "difference of a probability, mean": float(difference.mean()),
        "difference of a probability, largest": float(difference.max()),
        "labels of less than 0.95": int(unsure.sum()),
        "their difference, mean": float(difference[unsure].mean()) if unsure.any() else None,
    }
    return [{"what": name, "found": value} for name, value in facts.items()]


def _head_weight() -> Tensor:
    from safetensors.torch import load_file

    tensors: dict[str, Tensor] = {}
    for file in _CHECKPOINT.glob("*.safetensors"):
        tensors |= load_file(file)
    weight = tensors.get("lm_head.weight")
    return tensors["model.embed_tokens.weight"] if weight is None else weight


def _probabilities(
    logprobs: NDArray[np.float64],
) -> NDArray[np.float64]:
    relative = np.exp(logprobs - logprobs.max(1, keepdims=True))
    probabilities: NDArray[np.float64] = relative / relative.sum(1, keepdims=True)
    return probabilities
