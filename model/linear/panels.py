"""Weights in panels, multiplied by a C++ kernel: see `model/kernels/cpu/panels.h`.

n rows, I input and O output features, E weights of one shape, P panels of W output features. t inputs lie
together: 2 in bfloat16 where the processor multiplies pairs of it, else 1.
"""

from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from model.kernels.compiled_kernels import compiled_operators
from model.linear.layout import Multiply
from model.machine.process_memory import move_to_huge_pages

PAIRED_INPUTS = 32  # their number is a multiple of this where they lie in pairs: a row of a matrix unit


def panels(weights: Tensor) -> Multiply:  # [E, O, I]
    """Copies of the weights in panels and in huge pages, multiplied and added up in fp32."""
    outputs = weights.shape[1]
    operators = compiled_operators()
    assert operators is not None
    multiply = operators.multiply.default
    laid_out, tiles = in_panels(weights), operators.has_tiles()

    def multiply_sorted(x: Tensor, sizes: list[int]) -> Tensor:  # [n, I] -> [n, O]
        product: Tensor = multiply(x, [*accumulate(sizes)], laid_out, outputs, tiles)
        return product

    return multiply_sorted


def in_panels(weights: Tensor) -> Tensor:  # [E, O, I] -> [E, P, I / t, W, t]
    """The last panel is filled up with zeros, and so are inputs that lie together."""
    width = torch.ops.mixtray_layer.panel_width()
    together, inputs = (2, PAIRED_INPUTS) if lie_in_pairs(weights.dtype) else (1, 1)
    filled = F.pad(weights, (0, -weights.shape[2] % inputs, 0, -weights.shape[1] % width))
    laid_out: Tensor = filled.unflatten(2, (-1, together)).unflatten(1, (-1, width)).transpose(2, 3).contiguous()
    move_to_huge_pages(laid_out.data_ptr(), laid_out.nbytes)
    return laid_out


def lie_in_pairs(dtype: torch.dtype) -> bool:
    return dtype is torch.bfloat16 and torch.ops.mixtray_layer.multiplies_pairs()
