"""Each token's weighted sum of what its experts gave, in one Triton kernel: see `model.kernels.weighted_sum`.

Every token reads its own outputs, so that nothing is added by two programs and every run has the same bits.
"""

import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 1024


def weighted_sum(outputs: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    assert all(x.is_contiguous() for x in (outputs, places, weights))
    tokens, num_chosen = places.shape
    width = outputs.shape[1]
    mixed = outputs.new_empty(tokens, width)
    if tokens:
        grid = tokens, triton.cdiv(width, _BLOCK)
        _weighted_sum[grid](outputs, places, weights, mixed, K=num_chosen, WIDTH=width, BLOCK=_BLOCK)
    return mixed


@triton.jit  # type: ignore[untyped-decorator]
def _weighted_sum(  # type: ignore[no-untyped-def]
    outputs, places, weights, mixed, K: tl.constexpr, WIDTH: tl.constexpr, BLOCK: tl.constexpr
):
    """A block of one token's features."""
    token = tl.program_id(0).to(tl.int64)
    feature = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    real = feature < WIDTH
    total = tl.zeros((BLOCK,), tl.float32)
    for k in tl.static_range(K):
        place = tl.load(places + token * K + k)
        weight = tl.load(weights + token * K + k)
        total += tl.load(outputs + place * WIDTH + feature, mask=real, other=0.0).to(tl.float32) * weight
    tl.store(mixed + token * WIDTH + feature, total.to(outputs.dtype.element_ty), mask=real)
