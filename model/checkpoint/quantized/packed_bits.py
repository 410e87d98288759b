"""Small whole numbers out of 32-bit ones, as formats pack them, and what a part of a weight must be."""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.checkpoint.tensor_files import StoredTensor


def unpacked(packed: Tensor, bits: int, order: Sequence[int] | None = None) -> Tensor:
    """Along the last dimension: [..., n] int32 -> [..., n * 32 / bits] uint8, the lowest bits first.

    `order`: of the numbers in 32 bits the places from the lowest bits on; place order[i] holds number i.
    """
    places = range(32 // bits) if order is None else order
    shifts = torch.tensor([place * bits for place in places], dtype=torch.int32)
    numbers = (packed[..., None] >> shifts) & ((1 << bits) - 1)
    return numbers.to(torch.uint8).flatten(-2)


def packed_bits(numbers: Tensor, bits: int) -> Tensor:
    """The reverse, the lowest bits first: [..., n] uint8 -> [..., n * bits / 32, rounded up] int32."""
    each = 32 // bits
    filled = torch.nn.functional.pad(numbers, (0, -numbers.shape[-1] % each))
    shifts = torch.arange(each, dtype=torch.int64) * bits
    together = (filled.unflatten(-1, (-1, each)).long() << shifts).sum(-1)  # below 2 ^ 32
    return torch.where(together >= 1 << 31, together - (1 << 32), together).int()


def require_part(
    name: str, stored: StoredTensor, dtypes: Sequence[str], shape: Sequence[int] | None = None
) -> list[int]:
    """The shape of a part of a weight; ValueError if its type or shape is none that the format has."""
    found = stored.get_shape()
    if stored.get_dtype() not in dtypes:
        raise ValueError(f"{name}: must be stored as {', '.join(dtypes)}, got {stored.get_dtype()}")
    if shape is None and len(found) != 2:
        raise ValueError(f"{name}: must be a matrix, got shape {found}")
    if shape is not None and found != [*shape]:
        raise ValueError(f"{name}: its weight's other parts ask for shape {[*shape]}, the file has {found}")
    return found
