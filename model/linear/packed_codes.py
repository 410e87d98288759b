"""Weights of few bits as a kernel reads them: several of one shape behind each other, no number made.

E weights of one shape, O output and I input features, G groups of a row's inputs, S scales of a weight.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

import torch
from torch import Tensor

from model.linear.codebook import Codebook
from model.linear.grid import Grid


class ScaledBy(IntEnum):
    """Which of a weight's scales the number of output o and input i has."""

    GROUP = 0  # o * G + i // group: equally many inputs lie together
    LISTED_GROUP = 1  # o * G + groups[i]
    BLOCK = 2  # (o * I + i) // group: blocks run on through the rows


@dataclass(frozen=True)
class PackedCodes:
    """Numbers are (codes - zeros) * scales or, with a table, table[codes] * scales."""

    outputs: int
    inputs: int
    codes: Tensor  # [E, O, I / 2] uint8, the first of two codes in the upper bits; [E, O, I] if not `halves`
    halves: bool
    scales: Tensor  # [E, S], of the narrowest type that has all of them
    zeros: Tensor | None  # [E, S], likewise
    table: Tensor | None  # [16] float32
    scaled_by: ScaledBy
    group: int  # inputs, or numbers of a block
    groups: Tensor | None  # [I] int32

    @property
    def nbytes(self) -> int:
        return sum(value.nbytes for value in vars(self).values() if isinstance(value, Tensor))

    def __len__(self) -> int:  # E
        return len(self.codes)

    def one(self, index: int) -> "PackedCodes":
        """One of the weights, in the memory of all."""
        part = slice(index, index + 1)
        zeros = None if self.zeros is None else self.zeros[part]
        return replace(self, codes=self.codes[part], scales=self.scales[part], zeros=zeros)


def packed_codes(weight: Grid | Codebook) -> PackedCodes:
    """One weight [O, I], with E = 1."""
    outputs, inputs = weight.codes.shape
    halves = (isinstance(weight, Codebook) or weight.bits == 4) and not inputs % 2
    codes = two_in_a_byte(weight.codes) if halves else weight.codes.contiguous()
    if isinstance(weight, Codebook):
        scales, zeros, groups, group = weight.largest, None, None, weight.block
        by = ScaledBy.BLOCK if inputs % group else ScaledBy.GROUP
    else:
        scales, zeros, groups = weight.scales, _narrowest(weight.zeros), weight.groups
        group = inputs // scales.shape[1]
        by = ScaledBy.GROUP if groups is None else ScaledBy.LISTED_GROUP
    return PackedCodes(
        outputs=outputs,
        inputs=inputs,
        codes=codes[None],
        halves=halves,
        scales=_narrowest(scales).reshape(1, -1),
        zeros=None if zeros is None else zeros.reshape(1, -1),
        table=weight.table if isinstance(weight, Codebook) else None,
        scaled_by=by,
        group=group,
        groups=None if groups is None else groups.int(),
    )


def joined_codes(parts: Sequence[PackedCodes]) -> PackedCodes | None:
    """Weights of one shape behind each other; None if a kernel would have to read them differently."""
    first = parts[0]
    for part in parts[1:]:
        if _read_as(part) != _read_as(first):
            return None
        for name in ("table", "groups"):
            one, other = getattr(first, name), getattr(part, name)
            if one is not None and not torch.equal(one, other):
                return None
    codes, scales = (_together([getattr(part, name) for part in parts]) for name in ("codes", "scales"))
    zeros = [part.zeros for part in parts if part.zeros is not None]
    return replace(first, codes=codes, scales=scales, zeros=_together(zeros) if zeros else None)


def two_in_a_byte(codes: Tensor) -> Tensor:  # [O, I] below 16 -> [O, I / 2]
    return (codes[:, ::2] << 4 | codes[:, 1::2]).contiguous()


def _read_as(packed: PackedCodes) -> tuple[object, ...]:
    tensors = packed.scales, packed.zeros, packed.table, packed.groups
    shapes = [None if x is None else x.shape for x in tensors]
    return packed.codes.shape, packed.halves, packed.scaled_by, packed.group, *shapes


def _together(parts: list[Tensor]) -> Tensor:
    """[1, ...] of each weight -> [E, ...], of a type that has the numbers of all."""
    one_type = len({part.dtype for part in parts}) == 1
    return torch.cat(parts if one_type else [part.float() for part in parts])


def _narrowest(numbers: Tensor) -> Tensor:  # float32, unchanged in the type that is returned
    for dtype in (torch.uint8, torch.bfloat16, torch.float16):
        whole = numbers.clamp(0, 255) if dtype is torch.uint8 else numbers
        if torch.equal(whole.to(dtype).float(), numbers):
            return whole.to(dtype)
    return numbers
