"""Weights in panels, multiplied by a C++ kernel: see `model/kernels/cpu/panels.h`.

n rows, I input and O output features, E weights of one shape, P panels of W output features.
"""

from itertools import accumulate

import torch
from torch import Tensor
from torch.nn import functional as F

from model.kernels.compiled_kernels import compiled_operators
from model.linear.layout import Multiply
from model.machine.process_memory import move_to_huge_pages


def panels(weights: Tensor) -> Multiply:  # [E, O, I]
    """Copies of the weights in panels and in huge pages, multiplied and added up in fp32."""
    outputs = weights.shape[1]
    operators = compiled_operators()
    assert operators is not None
    multiply = operators.multiply.default
    laid_out = in_panels(weights)

    def multiply_sorted(x: Tensor, sizes: list[int]) -> Tensor:  # [n, I] -> [n, O]
        product: Tensor = multiply(x, [*accumulate(sizes)], laid_out, outputs)
        return product

    return multiply_sorted


def in_panels(weights: Tensor) -> Tensor:  # [E, O, I] -> [E, P, I, W]
    """The last panel is filled up with zeros."""
    width = torch.ops.mixtray_layer.panel_width()
    filled = F.pad(weights, (0, 0, 0, -weights.shape[1] % width))
    laid_out: Tensor = filled.unflatten(1, (-1, width)).transpose(2, 3).contiguous()
    move_to_huge_pages(laid_out.data_ptr(), laid_out.nbytes)
    return laid_out
