"""The kernels of a layer in C++ for CPUs, from the folder `cpu`, if they can be compiled here."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from model.kernels.build import load
from model.kernels.cache_writes import LayerCache
from model.kernels.kernels import Kernels
from model.kernels.route import Routed

_OPERATORS = Path(__file__).parent / "cpu" / "operators.cpp"


def compiled_operators() -> Any | None:
    """All operators of the folder, as torch has them, or None."""
    return torch.ops.mixtray_layer if load(_OPERATORS) else None


def compiled_kernels() -> Kernels | None:
    operators = compiled_operators()
    if operators is None:
        return None
    rotate_by, route_to = operators.rotate.default, operators.route.default

    def rotate(
        qkv: Tensor, rope: tuple[Tensor, Tensor], heads: int, kv_heads: int, into: LayerCache | None = None
    ) -> tuple[Tensor, Tensor]:
        """RuntimeError, and nothing is stored, if a place or page does not exist."""
        pages = (into.keys, into.values, into.writes.places, into.writes.opened) if into else ()
        q, k = rotate_by(qkv, *rope, heads, kv_heads, *pages)
        return q, k

    def route(router_logits: Tensor, num_chosen: int) -> Routed:
        return Routed(*route_to(router_logits, num_chosen))

    return Kernels(
        "compiled",
        operators.add_norm.default,
        rotate,
        route,
        operators.swish_product.default,
        operators.weighted_sum.default,
    )
