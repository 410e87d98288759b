"""Weights in panels, multiplied by a C++ kernel: see `model/kernels/cpu/panels.h`.

n rows, I input and O output features, E weights of one shape, P panels of W output features. t inputs lie
together where the processor multiplies so many at once: 2 in bfloat16, 4 in 8 bits; elsewhere 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from model.kernels.compiled_kernels import compiled_operators
from model.linear.layout import Layout, Multiply
from model.machine.process_memory import move_to_huge_pages

# One weight [O, I] -> its outputs in another order, or more of them
Arrange = Callable[[Tensor], Tensor]

_ROW_OF_A_TILE = 64  # bytes of the inputs that a matrix unit takes at once


@dataclass(frozen=True)
class Panels:
    numbers: Tensor  # [E, P, I / t, W, t]: zeros fill up the last panel, and inputs that lie together
    scales: Tensor | None = None  # of weights in 8 bits, one for each output feature, [E, P * W]


# (weights [E, O, I], how each is arranged before): in_panels or in_int8_panels
LayOut = Callable[..., Panels]


def panels(weights: Tensor) -> Multiply:  # [E, O, I]
    """Copies of the weights in panels and in huge pages; products are added up in fp32.

    Where pairs of bfloat16 are multiplied, rows are rounded to bfloat16.
    """
    return multiply_by(in_panels(weights), weights.shape[1])


def int8_panels(weights: Tensor) -> Multiply:  # [E, O, I]
    """Weights in 8 bits with a scale for each output; rows are rounded to 8 bits with a scale for each row.

    Only where `multiplies_int8()`. A row is scaled by itself, so what it gives does not depend on the rows
    beside it.
    """
    return multiply_by(in_int8_panels(weights), weights.shape[1])


def multiply_by(laid_out: Panels, outputs: int) -> Multiply:
    multiply = torch.ops.mixtray_layer.multiply.default

    def multiply_sorted(x: Tensor, sizes: list[int]) -> Tensor:  # [n, I] -> [n, O]
        ends = [*accumulate(sizes)]
        product: Tensor = multiply(x, ends, laid_out.numbers, laid_out.scales, outputs)
        return product

    return multiply_sorted


def in_panels(weights: Tensor, arrange: Arrange = lambda weight: weight) -> Panels:  # [E, O, I]
    """`arrange` is done to each weight before. Beside the result only one weight is copied at a time."""
    laid_out: Tensor | None = None
    width, together = torch.ops.mixtray_layer.panel_width(), inputs_together(weights.dtype)
    inputs = _ROW_OF_A_TILE // weights.itemsize if together > 1 else 1
    for i, weight in enumerate(map(arrange, weights)):
        filled = F.pad(weight, (0, -weight.shape[1] % inputs, 0, -weight.shape[0] % width))
        panels_of_it = filled.unflatten(1, (-1, together)).unflatten(0, (-1, width)).transpose(1, 2)
        if laid_out is None:
            laid_out = weights.new_empty(len(weights), *panels_of_it.shape)
        laid_out[i] = panels_of_it
    assert laid_out is not None
    move_to_huge_pages(laid_out.data_ptr(), laid_out.nbytes)
    return Panels(laid_out)


def in_int8_panels(weights: Tensor, arrange: Arrange = lambda weight: weight) -> Panels:  # [E, O, I]
    rounded = torch.empty_like(weights, dtype=torch.int8)
    scales = []
    for weight, into in zip(weights, rounded, strict=True):
        largest = torch.maximum(weight.amax(-1), -weight.amin(-1)).float()  # [O]
        scales.append(largest.clamp(min=torch.finfo(torch.float32).tiny) / 127)
        into.copy_((weight / scales[-1][:, None]).round_())
    laid_out = in_panels(rounded, arrange).numbers
    arranged = torch.stack([arrange(of_weight[:, None])[:, 0] for of_weight in scales])  # [E, O]
    return Panels(laid_out, F.pad(arranged, (0, laid_out.shape[1] * laid_out.shape[3] - arranged.shape[1])))


def inputs_together(dtype: torch.dtype) -> int:
    """How many inputs lie together. With several, there are as many inputs as fill whole rows of a tile."""
    if dtype is torch.int8:
        return 4
    return 2 if dtype is torch.bfloat16 and torch.ops.mixtray_layer.multiplies_pairs() else 1


def multiplies_int8() -> bool:
    """Whether the processor multiplies weights in 8 bits that lie in panels."""
    operators = compiled_operators()
    return operators is not None and bool(operators.has_tiles())


def compiled_for(layout: Layout | None, dtype: torch.dtype) -> str | None:
    """How weights of this type in this layout are multiplied in C++, for people; None: they are not."""
    if layout not in IN_PANELS:
        return None
    together = inputs_together(torch.int8 if layout is int8_panels else dtype)
    if together == 1:
        return "compiled"
    return "compiled for AMX" if torch.ops.mixtray_layer.has_tiles() else "compiled for AVX-512 BF16"


# Layouts in panels, and what brings weights into them; all experts of a layer are one operator then
IN_PANELS: dict[Layout, LayOut] = {panels: in_panels, int8_panels: in_int8_panels}
