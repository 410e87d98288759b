"""How many operators the network asks of a device for a layer: a bound that only falls.

Each costs the host some microseconds, whatever it computes. Shapes alone, on torch's "meta" device.
"""

from collections import Counter

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.network.transformer import Transformer

PLAIN_BOUND = 47  # with torch's operators alone; tests/gpu_without_gpu has the bounds of the GPU's kernels
_FREE = ("empty", "empty_like", "new_empty", "detach", "_unsafe_view")


class Operators(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.count = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func._schema.name.removeprefix("aten::")
        if not func.is_view and name not in _FREE:
            self.count[name] += 1
        return func(*args, **(kwargs or {}))


class Nothing:
    """What attends to nothing."""

    def cache(self, layer):
        return None

    def __call__(self, layer, q, k, v):
        return q


def operators(layers, monkeypatch):
    monkeypatch.setattr("model.network.experts.has_grouped_matmul", lambda *_: True)
    config = ModelConfig.from_dict(SIZES["tiny"] | {"num_hidden_layers": layers})
    with torch.device("meta"), torch.no_grad():
        model = Transformer(config).to(torch.bfloat16)
        model.rope.inverse_frequencies = model.rope.inverse_frequencies.to("meta")
        tokens = torch.zeros(5, dtype=torch.int64)
        with Operators() as seen:
            model.hidden(tokens, tokens, Nothing())
    return seen.count


def test_a_layer_asks_for_no_more_than_it_did(monkeypatch):
    a_layer = operators(2, monkeypatch) - operators(1, monkeypatch)
    assert a_layer["_grouped_mm"] == 2, "the experts are counted"
    assert a_layer.total() <= PLAIN_BOUND, a_layer
