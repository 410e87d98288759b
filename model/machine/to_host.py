"""What the device has computed and the host needs, brought here in one copy."""

from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor

Key = TypeVar("Key")


def to_host(tensors: Mapping[Key, Tensor]) -> dict[Key, Tensor]:
    """Tensors of one device -> their numbers in float64 on the host, which waits for them."""
    if not tensors:
        return {}
    flat = torch.cat([x.flatten().double() for x in tensors.values()]).cpu()
    parts = flat.split([x.numel() for x in tensors.values()])
    return {key: part.view(x.shape) for (key, x), part in zip(tensors.items(), parts, strict=True)}
