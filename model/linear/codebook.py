"""Weights out of a table of 16 numbers, scaled by the largest of their block: bitsandbytes' nf4 and fp4.

I input and O output features. QLoRA, arXiv 2305.14314, section 3; bitsandbytes.functional has the table.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

# Quantiles of a normal distribution, scaled to [-1, 1] with an exact 0.
NF4 = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023,
    1.0,
)  # fmt: skip
BLOCK = 64  # numbers, by bitsandbytes' default


@dataclass(frozen=True)
class Codebook:
    """W = table[codes] * largest, blocks running on through the rows of the weight."""

    codes: Tensor  # [O, I] uint8, below 16
    table: Tensor  # [16] float32
    largest: Tensor  # float32, of each block: [O * I / block, rounded up]
    block: int

    def numbers(self) -> Tensor:  # [O, I] float32
        outputs, inputs = self.codes.shape
        scales = self.largest.repeat_interleave(self.block)[: outputs * inputs]
        return self.table[self.codes.int()] * scales.view(outputs, inputs)


def quantized_codebook(weight: Tensor) -> Codebook:
    """The nf4 numbers nearest to a weight [O, I]. I must be a multiple of BLOCK, or BLOCK of it."""
    blocks = weight.float().reshape(-1, BLOCK)
    largest = blocks.abs().amax(-1)  # [O * I / BLOCK]
    table = torch.tensor(NF4, device=weight.device)
    borders = (table[1:] + table[:-1]) / 2
    scaled = blocks / largest.clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    codes = torch.bucketize(scaled, borders).to(torch.uint8)
    return Codebook(codes.view(weight.shape), table, largest, BLOCK)


def codebook_part(weight: Codebook, rows: slice, columns: slice) -> Codebook:
    """Some outputs and inputs, in blocks that end with the row, of the same numbers."""
    outputs, inputs = weight.codes.shape
    first, last = columns.indices(inputs)[:2]
    block = math.gcd(weight.block, inputs, first, last - first)
    scales = weight.largest.repeat_interleave(weight.block // block)[: outputs * inputs // block]
    largest = scales.view(outputs, -1)[rows, first // block : last // block]
    return Codebook(weight.codes[rows, columns], weight.table, largest.reshape(-1), block)


def joined_codebooks(parts: Sequence[Codebook]) -> Codebook | None:
    """Weights of the same inputs, one below another; None if their tables or blocks differ."""
    one = parts[0]
    if any(part.block != one.block or not torch.equal(part.table, one.table) for part in parts):
        return None
    codes, largest = (torch.cat([getattr(part, name) for part in parts]) for name in ("codes", "largest"))
    return Codebook(codes, one.table, largest, one.block)
