"""Weights on a grid: whole numbers of 4 or 8 bits, with a scale and a zero for each group of inputs.

I input and O output features, G groups of inputs.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Grid:
    """W = (codes - zeros) * scales, the scale and the zero being those of the input's group.

    Scales of 16 bits give products that are exact in float32, as long as zeros are whole.
    """

    bits: int  # 4 or 8
    codes: Tensor  # [O, I] uint8, below 2 ^ bits
    scales: Tensor  # [O, G] float32
    zeros: Tensor  # [O, G] float32
    groups: Tensor | None = None  # [I]: the group of each input; None: equally many inputs lie together

    def numbers(self) -> Tensor:  # [O, I] float32
        if self.groups is not None:
            return (self.codes - self.zeros[:, self.groups]) * self.scales[:, self.groups]
        outputs, G = self.scales.shape
        grouped = self.codes.view(outputs, G, -1)  # [O, G, I / G]
        return ((grouped - self.zeros[..., None]) * self.scales[..., None]).view(outputs, -1)


def quantized_grid(weight: Tensor, bits: int, group: int, dtype: torch.dtype = torch.float32) -> Grid:
    """The grid nearest to a weight [O, I], symmetric about 0, each group scaled by its largest number.

    That is compressed-tensors' symmetric scheme: scales are the largest magnitude over (2 ^ bits - 1) / 2.
    Groups have `group` inputs, which must divide I. Scales are rounded to `dtype` first.
    """
    outputs, inputs = weight.shape
    grouped = weight.float().view(outputs, inputs // group, group)
    most, zero = 1 << (bits - 1), float(1 << (bits - 1))
    scales = grouped.abs().amax(-1) / ((2 * most - 1) / 2)  # [O, G]
    scales = scales.to(dtype).float().clamp(min=torch.finfo(dtype).tiny)
    codes = (grouped / scales[..., None]).round_().clamp_(-most, most - 1).add_(zero)
    return Grid(bits, codes.view(outputs, inputs).to(torch.uint8), scales, torch.full_like(scales, zero))


def grid_part(grid: Grid, rows: slice, columns: slice) -> Grid:
    """Some outputs and inputs of a grid; where that cuts groups, into smaller groups of the same numbers."""
    codes, scales, zeros = grid.codes[rows, columns], grid.scales[rows], grid.zeros[rows]
    if grid.groups is not None:
        return Grid(grid.bits, codes, scales, zeros, grid.groups[columns])
    inputs, groups = grid.codes.shape[1], scales.shape[1]
    first, last = columns.indices(inputs)[:2]
    group = inputs // groups
    if last - first == inputs:
        return Grid(grid.bits, codes, scales, zeros)
    smaller = math.gcd(group, first, last - first)
    of_part = slice(first // smaller, last // smaller)
    cut = [of.repeat_interleave(group // smaller, 1)[:, of_part] for of in (scales, zeros)]
    return Grid(grid.bits, codes, cut[0], cut[1])


def joined_grids(parts: Sequence[Grid]) -> Grid | None:
    """Grids of the same inputs, one below another; None if their bits or groups differ."""
    one = parts[0]
    for other in parts[1:]:
        if other.bits != one.bits or other.scales.shape[1] != one.scales.shape[1]:
            return None
        if (other.groups is None) != (one.groups is None):
            return None
        if other.groups is not None and one.groups is not None and not torch.equal(other.groups, one.groups):
            return None
    codes, scales, zeros = (
        torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "scales", "zeros")
    )
    return Grid(one.bits, codes, scales, zeros, one.groups)
