"""Which kernels compute a layer, by what the device has."""

import torch

from model.kernels.compiled_kernels import compiled_kernels
from model.kernels.kernels import PLAIN, Kernels


def kernels_for(device: torch.device, dtype: torch.dtype, fused: bool) -> Kernels:
    """`fused`: Triton runs there, as `model.attention.flash` found out when it was asked for attention."""
    if not fused:
        stored = dtype in (torch.float32, torch.bfloat16)
        return (compiled_kernels() if device.type == "cpu" and stored else None) or PLAIN
    # Triton comes with torch's builds for GPUs only.
    from model.kernels.triton_kernels import TRITON

    return TRITON
