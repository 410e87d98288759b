"""How weights multiply rows: as they lie, laid out for the CPU, or in 8 bits.

n rows, I input and O output features, E weights of one shape: those of a layer's experts, or a single one.
"""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.machine.process_memory import move_to_huge_pages

_TYPICAL_ROWS = 32

# Rows in the order of their weights and how many are each one's, [n, I] and E sizes -> [n, O]
Multiply = Callable[[Tensor, list[int]], Tensor]
Layout = Callable[[Tensor], Multiply]  # of weights [E, O, I]


class Linear(nn.Module):
    """x W^T; the weight is a parameter until it is laid out."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        self._multiply: Multiply | None = None

    def lay_out(self, layout: Layout) -> None:
        self._multiply = layout(self.weight[None])
        del self.weight

    def forward(self, x: Tensor) -> Tensor:  # [n, I] -> [n, O]
        return self._multiply(x, [len(x)]) if self._multiply else F.linear(x, self.weight)


def layout_for(dtype: torch.dtype, device: torch.device, quantization: str) -> Layout | None:
    """How weights are laid out there; None: they stay as they are.

    ValueError if the weights can't be quantized so on this machine.
    """
    on_cpu = device.type == "cpu"
    if quantization == "int8":
        if not on_cpu or dtype is not torch.float32:
            raise ValueError(f"quantization int8 computes in float32 on CPUs, got {dtype} on {device.type}")
        if torch.backends.quantized.engine not in ("x86", "fbgemm"):
            raise ValueError("quantization int8 needs an x86 CPU: torch has no FBGEMM for this one")
        return int8
    if quantization != "none":
        raise ValueError(f"quantization must be none or int8, got {quantization}")
    return packed if on_cpu and dtype in _native_dtypes() else None


def _native_dtypes() -> list[torch.dtype]:
    """Those that oneDNN multiplies on this processor without turning them into others."""
    if not torch.backends.mkldnn.is_available():
        return []
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return [torch.float32, torch.bfloat16] if has_bf16 else [torch.float32]


def plain(weights: Tensor) -> Multiply:
    apart = list(weights)
    return lambda x, sizes: _each(F.linear, apart, x, sizes)


def packed(weights: Tensor) -> Multiply:
    """Copies of the weights in oneDNN's own layout and in huge pages, which pays where few rows meet one.

    The operators are those that torch's compiler emits for a frozen linear layer. oneDNN compiles a kernel
    for each number of rows and keeps the last 1,024 of them, so rows are added until few numbers are left.
    """
    operators = torch.ops.mkldnn
    laid_out = [operators._reorder_linear_weight(weight.contiguous(), _TYPICAL_ROWS) for weight in weights]
    for weight in laid_out:
        move_to_huge_pages(operators.data_ptr(weight), operators._nbytes(weight))

    def multiply(x: Tensor, weight: Tensor) -> Tensor:
        more = rows_to_add(len(x))
        padded = F.pad(x, (0, 0, 0, more)) if more else x  # F.pad copies even where it adds none
        product: Tensor = operators._linear_pointwise(padded, weight, None, "none", [], "")
        return product[: len(x)] if more else product

    return lambda x, sizes: _each(multiply, laid_out, x, sizes)


def rows_to_add(rows: int) -> int:
    """So that between two powers of 2 only 16 numbers occur: less than 1/16 more, and none up to 32."""
    step = 1 << max(0, rows.bit_length() - 5)
    return -rows % step


def int8(weights: Tensor) -> Multiply:
    """Weights in 8 bits with a scale an output, rows in 7 bits with a scale a row.

    Each row is scaled by itself, so what it gives does not depend on the others. FBGEMM adds pairs of
    products in 16 bits, which rows of 8 bits would overflow. torch means to drop its quantized tensors, by
    which alone FBGEMM is reached; oneDNN's operators for plain ones are slower (benchmarks/engine.md).
    """
    laid_out = [_quantized(weight) for weight in weights]
    operator = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32

    def multiply(x: Tensor, weight: Any) -> Tensor:
        product: Tensor = operator(x, 1 / 63, 64, weight)
        return product

    def scaled(x: Tensor, sizes: list[int]) -> Tensor:
        scale = _largest(x)
        return _each(multiply, laid_out, x / scale, sizes).mul_(scale)

    return scaled


def _quantized(weight: Tensor) -> Any:
    scales = _largest(weight) / 127
    zeros = torch.zeros(len(weight), dtype=torch.int64)
    with warnings.catch_warnings(action="ignore", category=UserWarning):
        quantized = torch.quantize_per_channel(weight, scales[:, 0].double(), zeros, 0, torch.qint8)
    return torch.ops.quantized.linear_prepack(quantized, None)


def _largest(x: Tensor) -> Tensor:  # [n, I] -> [n, 1]
    return x.abs().amax(-1, keepdim=True).clamp(min=torch.finfo(x.dtype).tiny)


def _each(
    multiply: Callable[[Tensor, Any], Tensor], weights: list[Any], x: Tensor, sizes: list[int]
) -> Tensor:
    if len(weights) == 1:
        return multiply(x, weights[0])  # no rows, too
    several = zip(x.split(sizes), weights, sizes, strict=True)
    parts = [multiply(part, weight) for part, weight, size in several if size]
    return parts[0] if len(parts) == 1 else torch.cat(parts)
