"""Which kernels compute a layer, by what the device has."""

import torch

from model.kernels.kernels import PLAIN, Kernels


def kernels_for(device: torch.device, fused: bool) -> Kernels:
    """`fused`: Triton runs there, as `model.attention.flash` found out when it was asked for attention."""
    if not fused:
        return PLAIN
    # Triton comes with torch's builds for GPUs only.
    from model.kernels.triton_kernels import TRITON

    return TRITON
