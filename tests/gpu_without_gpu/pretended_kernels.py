"""A layer's kernels on the pretended device: shapes, and what the real ones demand of their arguments."""

import torch
from torch import Tensor

from model.kernels.cache_writes import LayerCache
from model.kernels.kernels import Kernels
from model.kernels.route import Routed
from tests.gpu_without_gpu.pretended_device import DEVICE, PretendedDevice


def pretended_kernels(device: PretendedDevice) -> Kernels:
    def launch(name: str, *given: Tensor | None) -> None:
        for x in given:
            assert x is None or (x.is_contiguous() and x.device == DEVICE), name
        device.operators[name] += 1

    def add_norm(x: Tensor, update: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        launch("add_norm", x, update, weight)
        return x if update is None else torch.empty_like(x), torch.empty_like(x)

    def rotate(
        qkv: Tensor, rope: tuple[Tensor, Tensor], heads: int, kv_heads: int, into: LayerCache | None = None
    ) -> tuple[Tensor, Tensor]:
        assert into is not None, "the engine's steps have a cache"
        launch("rotate", qkv, *rope, into.keys, into.values, into.writes.places)
        assert into.writes.opened is None
        assert into.writes.places.shape == qkv.shape[:1]
        n, width = qkv.shape[0], qkv.shape[2]
        return qkv.new_empty(n, heads, width), qkv.new_empty(n, kv_heads, width)

    def route(router_logits: Tensor, num_chosen: int) -> Routed:
        launch("route: choose", router_logits)
        launch("route: place")
        tokens, experts = router_logits.shape
        weights = router_logits.new_empty((tokens, num_chosen), dtype=torch.float32)
        chosen, places = (torch.empty_like(weights, dtype=torch.int64) for _ in range(2))
        ends = torch.empty(experts, dtype=torch.int32, device=DEVICE)
        device.know(ends, [(i + 1) * tokens * num_chosen // experts for i in range(experts)])
        return Routed(weights, chosen, places.new_empty(tokens * num_chosen), places, ends)

    def swish_product(gate_up: Tensor) -> Tensor:
        launch("swish_product", gate_up)
        return gate_up.new_empty(len(gate_up), gate_up.shape[1] // 2)

    def weighted_sum(outputs: Tensor, places: Tensor, weights: Tensor) -> Tensor:
        launch("weighted_sum", outputs, places, weights)
        return outputs.new_empty(len(places), outputs.shape[1])

    return Kernels("pretended", add_norm, rotate, route, swish_product, weighted_sum)
