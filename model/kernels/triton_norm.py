"""RMSNorm of a sum in one Triton kernel: see `model.kernels.norm`.

N tokens, D width.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor


def add_norm(x: Tensor, update: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    assert x.is_contiguous()
    assert update is None or update.is_contiguous()
    total = x if update is None else torch.empty_like(x)
    normed = torch.empty_like(x)
    if len(x):
        width = x.shape[1]
        features = triton.next_power_of_2(width)
        _add_norm[(len(x),)](
            x,
            x if update is None else update,
            weight,
            total,
            normed,
            eps,
            ADD=update is not None,
            WIDTH=width,
            FEATURES=features,
            num_warps=8 if features >= 2048 else 4,
        )
    return total, normed


@triton.jit  # type: ignore[untyped-decorator]
def _add_norm(  # type: ignore[no-untyped-def]
    x,
    update,
    weight,
    total,
    normed,
    eps,
    ADD: tl.constexpr,
    WIDTH: tl.constexpr,
    FEATURES: tl.constexpr,
):
    """One token."""
    feature = tl.arange(0, FEATURES)
    real = feature < WIDTH
    at = tl.program_id(0).to(tl.int64) * WIDTH + feature
    dtype = x.dtype.element_ty
    exact = tl.load(x + at, mask=real, other=0.0).to(tl.float32)
    if ADD:
        rounded = (exact + tl.load(update + at, mask=real, other=0.0).to(tl.float32)).to(dtype)
        tl.store(total + at, rounded, mask=real)
        exact = rounded.to(tl.float32)
    scale = tl.rsqrt(tl.sum(exact * exact, 0) / WIDTH + eps)
    rounded = (exact * scale).to(dtype).to(tl.float32)
    scaled = rounded * tl.load(weight + feature, mask=real, other=0.0).to(tl.float32)
    tl.store(normed + at, scaled.to(dtype), mask=real)
