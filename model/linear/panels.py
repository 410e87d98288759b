"""Weights in panels, multiplied by a C++ kernel: see `model/kernels/cpu/panels.h`.

n rows, I input and O output features, E weights of one shape, P panels of W output features. t inputs lie
together where the processor multiplies so many at once: 2 in bfloat16, 4 in 8 bits; elsewhere 1.
"""

from dataclasses import dataclass
from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from model.kernels.compiled_kernels import compiled_operators
from model.linear.layout import Layout, Multiply
from model.machine.process_memory import move_to_huge_pages

_ROW_OF_A_TILE = 64  # bytes of the inputs that a matrix unit takes at once


@dataclass(frozen=True)
class Panels:
    numbers: Tensor  # [E, P, I / t, W, t]: zeros fill up the last panel, and inputs that lie together
    scales: Tensor | None = None  # of weights in 8 bits, one for each output feature, [E, P * W]


def panels(weights: Tensor) -> Multiply:  # [E, O, I]
    """Copies of the weights in panels and in huge pages, multiplied and added up in fp32."""
    return multiply_by(in_panels(weights), weights.shape[1])


def int8_panels(weights: Tensor) -> Multiply:  # [E, O, I]
    """The same in 8 bits with a scale for each output; rows are rounded to 8 bits with a scale for each row.

    Only where `multiplies_int8()`. A row is scaled by itself, so what it gives does not depend on the rows
    beside it.
    """
    return multiply_by(in_int8_panels(weights), weights.shape[1])


def multiply_by(laid_out: Panels, outputs: int) -> Multiply:
    operators = torch.ops.mixtray_layer
    multiply, tiles = operators.multiply.default, operators.has_tiles()

    def multiply_sorted(x: Tensor, sizes: list[int]) -> Tensor:  # [n, I] -> [n, O]
        ends = [*accumulate(sizes)]
        product: Tensor = multiply(x, ends, laid_out.numbers, laid_out.scales, outputs, tiles)
        return product

    return multiply_sorted


def in_panels(weights: Tensor) -> Panels:  # [E, O, I]
    width, together = torch.ops.mixtray_layer.panel_width(), inputs_together(weights.dtype)
    inputs = _ROW_OF_A_TILE // weights.itemsize if together > 1 else 1
    filled = F.pad(weights, (0, -weights.shape[2] % inputs, 0, -weights.shape[1] % width))
    laid_out = filled.unflatten(2, (-1, together)).unflatten(1, (-1, width)).transpose(2, 3).contiguous()
    move_to_huge_pages(laid_out.data_ptr(), laid_out.nbytes)
    return Panels(laid_out)


def in_int8_panels(weights: Tensor) -> Panels:  # [E, O, I]
    largest = weights.float().abs().amax(-1)  # [E, O]
    scales = largest.clamp(min=torch.finfo(torch.float32).tiny) / 127
    laid_out = in_panels((weights / scales[..., None]).round().to(torch.int8)).numbers
    return Panels(laid_out, F.pad(scales, (0, laid_out.shape[1] * laid_out.shape[3] - scales.shape[1])))


def inputs_together(dtype: torch.dtype) -> int:
    """How many inputs lie together. With several, there are as many inputs as fill whole rows of a tile."""
    if dtype is torch.int8:
        return 4
    return 2 if dtype is torch.bfloat16 and torch.ops.mixtray_layer.multiplies_pairs() else 1


def multiplies_int8() -> bool:
    """Whether the processor multiplies weights in 8 bits that lie in panels."""
    operators = compiled_operators()
    return operators is not None and bool(operators.multiplies_int8())


def compiled_for(layout: Layout | None, dtype: torch.dtype) -> str | None:
    """How weights of this type in this layout are multiplied in C++, for people; None: they are not."""
    if layout not in (panels, int8_panels):
        return None
    together = inputs_together(torch.int8 if layout is int8_panels else dtype)
    if together == 1:
        return "compiled"
    return "compiled for AMX" if torch.ops.mixtray_layer.has_tiles() else "compiled for AVX-512 BF16"
