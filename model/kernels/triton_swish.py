"""silu(gate) * up in one Triton kernel: see `model.kernels.swish`."""

import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


def swish_product(gate_up: Tensor) -> Tensor:  # [n, 2 F] -> [n, F]
    assert gate_up.is_contiguous()
    rows, width = len(gate_up), gate_up.shape[1] // 2
    product = gate_up.new_empty(rows, width)
    if rows:
        _swish_product[(rows, triton.cdiv(width, _BLOCK))](gate_up, product, WIDTH=width, BLOCK=_BLOCK)
    return product


@triton.jit  # type: ignore[untyped-decorator]
def _swish_product(gate_up, product, WIDTH: tl.constexpr, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """A block of one row's features."""
    row = tl.program_id(0).to(tl.int64)
    feature = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = feature < WIDTH
    at = row * 2 * WIDTH + feature
    gate = tl.load(gate_up + at, mask=real, other=0.0).to(tl.float32)
    up = tl.load(gate_up + at + WIDTH, mask=real, other=0.0).to(tl.float32)
    opened = gate / (1.0 + tl.exp(-gate))
    tl.store(product + row * WIDTH + feature, (opened * up).to(gate_up.dtype.element_ty), mask=real)
