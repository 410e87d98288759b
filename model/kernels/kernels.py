"""The kernels of a layer as one set, and the plain one: torch's own operators, on any device."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from model.kernels.cache_writes import LayerCache
from model.kernels.norm import add_norm
from model.kernels.rotation import rotate
from model.kernels.route import Routed, route
from model.kernels.swish import swish_product
from model.kernels.weighted_sum import weighted_sum


class Rotate(Protocol):
    """Calls like those of `model.kernels.rotation.rotate`."""

    def __call__(
        self,
        qkv: Tensor,
        rope: tuple[Tensor, Tensor],
        heads: int,
        kv_heads: int,
        into: LayerCache | None = None,
        /,
    ) -> tuple[Tensor, Tensor]: ...


@dataclass(frozen=True)
class Kernels:
    """Each does what the function of its name in `model.kernels` does."""

    name: str
    add_norm: Callable[[Tensor, Tensor | None, Tensor, float], tuple[Tensor, Tensor]]
    rotate: Rotate
    route: Callable[[Tensor, int], Routed]
    swish_product: Callable[[Tensor], Tensor]
    weighted_sum: Callable[[Tensor, Tensor, Tensor], Tensor]


PLAIN = Kernels("torch", add_norm, rotate, route, swish_product, weighted_sum)
