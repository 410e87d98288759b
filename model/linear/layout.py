"""What it takes to multiply rows by weights in some layout, and the plainest one: the weights as they are.

n rows, I input and O output features, E weights of one shape: those of a layer's experts, or a single one.

The product has the number type of the rows. Rows in float32 that meet weights in bfloat16 or float16 hold
numbers of that type, and what they ask for is that no sum is rounded to it.
"""

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

# Rows sorted by the weight that they meet, [n, I], and how many meet each of the E weights -> [n, O]
Multiply = Callable[[Tensor, list[int]], Tensor]
# Weights [E, O, I] -> what multiplies by them, from a copy in another layout or from the weights themselves
Layout = Callable[[Tensor], Multiply]


@runtime_checkable
class MultiplyByEnds(Protocol):
    """A Multiply that also takes, from the device, where each weight's rows end: the host need not know."""

    def __call__(self, x: Tensor, sizes: list[int], /) -> Tensor: ...

    def by_ends(self, x: Tensor, ends: Tensor) -> Tensor:  # [n, I], [E] int32 -> [n, O]
        ...


def plain(weights: Tensor) -> Multiply:  # [E, O, I]
    """The weights as they are, without a copy."""
    each = list(weights)
    return lambda x, sizes: multiply_each(multiply_plain, each, x, sizes)


def multiply_plain(x: Tensor, weight: Tensor) -> Tensor:  # [n, I], [O, I] -> [n, O]
    if x.dtype is weight.dtype or x.device.type == "cpu":
        return F.linear(x, weight.to(x.dtype))
    return torch.mm(x.to(weight.dtype), weight.T, out_dtype=x.dtype)


def multiply_each(
    multiply: Callable[[Tensor, Any], Tensor], weights: list[Any], x: Tensor, sizes: list[int]
) -> Tensor:  # rows [n, I], as Multiply takes them -> [n, O]
    """Call `multiply` for every weight that has rows."""
    if len(weights) == 1:
        return multiply(x, weights[0])  # even without rows, so that the result has its O features
    several = zip(x.split(sizes), weights, sizes, strict=True)
    parts = [multiply(part, weight) for part, weight, size in several if size]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
