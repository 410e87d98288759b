"""How a weight lies in memory in the few bits that it is stored in, known before its numbers are read.

What `model.linear.held` makes of it is laid out so. O output and I input features, G groups of inputs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

_SCALE_AND_ZERO = 2 * 4  # bytes: both are float32
_LARGEST = 4  # bytes of the largest number of a codebook's block
_TABLE = 16 * 4  # bytes
_SAME = ("inputs", "bits", "group", "table", "count")  # of weights that one matrix holds


@dataclass(frozen=True)
class Kept:
    """Of a weight [O, I], or of a part of it."""

    outputs: int
    inputs: int
    bits: int  # of a code: 4 or 8
    group: int = 0  # inputs that share a scale; of a codebook numbers, which run on through the rows
    table: str = ""  # the codebook's name; "": it is a grid
    groups: Tensor | None = None  # [I] of a grid: the group of each input, where those of a group lie apart
    count: int = 0  # G, where `groups` names them

    def part(self, rows: slice, columns: slice) -> "Kept":
        """Of some outputs and inputs, as `grid_part` and `codebook_part` cut them."""
        first, inputs = columns.start, columns.stop - columns.start
        group = math.gcd(self.group, self.inputs, first, inputs)
        groups = None if self.groups is None else self.groups[columns]
        return replace(self, outputs=rows.stop - rows.start, inputs=inputs, group=group, groups=groups)

    @property
    def nbytes(self) -> int:
        """Codes of 4 bits lie two in a byte, if a row has an even number of them."""
        numbers = self.outputs * self.inputs
        codes = numbers // 2 if self.bits == 4 and not self.inputs % 2 else numbers
        if self.table:
            return codes + numbers // self.group * _LARGEST + _TABLE
        if self.groups is not None:
            return codes + self.outputs * self.count * _SCALE_AND_ZERO + self.groups.nbytes
        return codes + self.outputs * (self.inputs // self.group) * _SCALE_AND_ZERO


def joined_kept(parts: Sequence[Kept]) -> Kept | None:
    """Weights of the same inputs, one below another; None if no matrix holds all of them in one way."""
    one = parts[0]
    for other in parts[1:]:
        if any(getattr(other, name) != getattr(one, name) for name in _SAME):
            return None
        if (other.groups is None) != (one.groups is None):
            return None
        if other.groups is not None and one.groups is not None and not torch.equal(other.groups, one.groups):
            return None
    return replace(one, outputs=sum(part.outputs for part in parts))
