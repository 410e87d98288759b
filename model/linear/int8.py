"""Weights in 8 bits, multiplied by FBGEMM on an x86 CPU without AMX, or without a C++ compiler.

n rows, I input and O output features, E weights of one shape.
"""

import warnings
from typing import Any

import torch
from torch import Tensor

from model.linear.layout import Multiply, multiply_each


def int8(weights: Tensor) -> Multiply:  # [E, O, I]
    """Weights in 8 bits with a scale for each output, rows in 7 bits with a scale for each row.

    A row is scaled by itself, so what it gives does not depend on the rows beside it. It has 7 bits because
    FBGEMM adds pairs of products in 16 bits, which 8 bits would overflow. torch means to drop its quantized
    tensors, by which alone FBGEMM is reached; oneDNN's operators for plain ones are slower
    (benchmarks/appendix.md).
    """
    laid_out = [_quantized(weight) for weight in weights]
    operator = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

    def multiply(x: Tensor, weight: Any) -> Tensor:  # [n, I] in [-1, 1] -> [n, O]
        product: Tensor = operator(x, 1 / 63, 64, weight)
        return product

    def scaled(x: Tensor, sizes: list[int]) -> Tensor:  # [n, I] -> [n, O]
        scale = _largest(x)
        return multiply_each(multiply, laid_out, x / scale, sizes).mul_(scale)

    return scaled


def _quantized(weight: Tensor) -> Any:
    scales = _largest(weight) / 127
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        quantized = torch.quantize_per_channel(weight, scales[:, 0].double(), zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantized, None)


def _largest(x: Tensor) -> Tensor:  # [n, I] -> [n, 1]
    return x.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)
