"""Rows multiplied by weights of few bits on a GPU: numbers are made of codes inside the product.

n rows, E weights of one shape, I input and O output features, G groups of a row's inputs. A number is made in
float32, as the weight's `numbers` makes it, and rounded to the rows' type; sums are in float32.
"""

from collections.abc import Sequence

import triton
import triton.language as tl
from torch import Tensor

from model.linear.codebook import Codebook
from model.linear.grid import Grid
from model.linear.layout import multiply_each
from model.linear.packed_codes import PackedCodes, ScaledBy, joined_codes, packed_codes

_FEWEST_ROWS, _MOST_ROWS = 16, 64  # that a program multiplies; the least that a matrix unit takes
_OUTPUTS = 64  # of a program
_INPUTS = (128, 64, 32)  # at a time: as many as lie in one group, if any of these do


class TritonHeld:
    """E weights of one shape: called as a Multiply, or with the ends of their rows on the device."""

    def __init__(self, packed: PackedCodes) -> None:
        self.packed = packed

    @classmethod
    def of(cls, weight: Grid | Codebook) -> "TritonHeld":
        return cls(packed_codes(weight))

    def joined(self, others: Sequence[object]) -> "TritonHeld | None":
        """This weight and others behind it; None if one kernel can't read all of them."""
        of_others = [one.packed for one in others if isinstance(one, TritonHeld)]
        packed = joined_codes([self.packed, *of_others]) if len(of_others) == len(others) else None
        return packed and TritonHeld(packed)

    @property
    def nbytes(self) -> int:
        return self.packed.nbytes

    def __call__(self, x: Tensor, sizes: list[int] | None = None) -> Tensor:
        """Rows [n, I], and how many meet each weight (None: all meet the one there is) -> [n, O]."""
        each = [*range(len(self.packed))]
        multiply = self._multiply
        return multiply_each(lambda rows, e: multiply(rows, self.packed.one(e)), each, x, sizes or [len(x)])

    def by_ends(self, x: Tensor, ends: Tensor) -> Tensor:
        """Rows [n, I] sorted by weight, and where each weight's end, [E] int32 -> [n, O]."""
        return self._multiply(x, self.packed, ends)

    @staticmethod
    def _multiply(x: Tensor, packed: PackedCodes, ends: Tensor | None = None) -> Tensor:
        rows, weights = len(x), len(packed)
        assert packed.outputs * packed.inputs < 1 << 31, "places in a weight are int32"
        x = x.contiguous()
        product = x.new_empty(rows, packed.outputs)
        if not rows:
            return product
        of_each = triton.next_power_of_2(triton.cdiv(rows, weights))
        block = min(max(of_each, _FEWEST_ROWS), _MOST_ROWS)
        # The last block of each weight's rows may be a part of one.
        row_blocks = triton.cdiv(rows, block) if ends is None else rows // block + min(weights, rows)
        scales = packed.scales.shape[1]
        by_group = packed.scaled_by is ScaledBy.GROUP
        in_one_group = [size for size in _INPUTS if by_group and not packed.group % size]
        _multiply_held[(row_blocks, triton.cdiv(packed.outputs, _OUTPUTS))](
            x,
            packed.codes,
            packed.scales,
            packed.zeros,
            packed.table,
            packed.groups,
            ends,
            product,
            rows,
            WEIGHTS=weights,
            PADDED=triton.next_power_of_2(weights),
            INPUTS=packed.inputs,
            OUTPUTS=packed.outputs,
            SCALES=scales,
            GROUPS=scales // packed.outputs,
            GROUP=packed.group,
            HALVES=packed.halves,
            SCALED_BY=int(packed.scaled_by),
            BLOCK_ROWS=block,
            BLOCK_OUTPUTS=_OUTPUTS,
            BLOCK_INPUTS=in_one_group[0] if in_one_group else min(_INPUTS),
        )
        return product


@triton.jit(do_not_specialize=["rows"])  # type: ignore[untyped-decorator]
def _multiply_held(  # type: ignore[no-untyped-def]
    x,
    codes,
    scales,
    zeros,
    table,
    groups,
    ends,
    product,
    rows,
    WEIGHTS: tl.constexpr,
    PADDED: tl.constexpr,
    INPUTS: tl.constexpr,
    OUTPUTS: tl.constexpr,
    SCALES: tl.constexpr,
    GROUPS: tl.constexpr,
    GROUP: tl.constexpr,
    HALVES: tl.constexpr,
    SCALED_BY: tl.constexpr,
    BLOCK_ROWS: tl.constexpr,
    BLOCK_OUTPUTS: tl.constexpr,
    BLOCK_INPUTS: tl.constexpr,
):
    """Some outputs of a block of one weight's rows."""
    begin, end, weight = tl.program_id(0) * BLOCK_ROWS, rows, 0
    if ends is not None:
        each = tl.arange(0, PADDED)
        last = tl.load(ends + each, mask=each < WEIGHTS, other=0)
        first = tl.load(ends + each - 1, mask=(each > 0) & (each < WEIGHTS), other=0)
        blocks = (tl.maximum(last - first, 0) + BLOCK_ROWS - 1) // BLOCK_ROWS
        blocks_so_far = tl.cumsum(blocks, 0)
        weight = tl.sum((blocks_so_far <= tl.program_id(0)).to(tl.int32), 0)
        mine = each == weight
        end = tl.sum(tl.where(mine, last, 0), 0)  # 0 where no weight is left
        begin = tl.sum(tl.where(mine, first - (blocks_so_far - blocks) * BLOCK_ROWS, 0), 0) + begin
    if begin >= end:
        return
    row = (begin + tl.arange(0, BLOCK_ROWS)).to(tl.int64)[:, None]  # [rows, 1]
    output = (tl.program_id(1) * BLOCK_OUTPUTS + tl.arange(0, BLOCK_OUTPUTS))[:, None]  # [outputs, 1]
    real_row, real_output = row < end, output < OUTPUTS
    weights_before = tl.cast(weight, tl.int64)
    codes += weights_before * OUTPUTS * (INPUTS // 2 if HALVES else INPUTS)
    scales += weights_before * SCALES
    if zeros is not None:
        zeros += weights_before * SCALES
    total = tl.zeros((BLOCK_ROWS, BLOCK_OUTPUTS), tl.float32)
    for first_input in range(0, INPUTS, BLOCK_INPUTS):
        place = first_input + tl.arange(0, BLOCK_INPUTS)[None, :]
        real_input = place < INPUTS
        real = real_output & real_input
        if HALVES:
            byte = first_input // 2 + tl.arange(0, BLOCK_INPUTS // 2)[None, :]
            real_byte = real_output & (byte < INPUTS // 2)
            two = tl.load(codes + output * (INPUTS // 2) + byte, mask=real_byte, other=0)
            code = tl.interleave(two >> 4, two & 15)  # [outputs, inputs]
        else:
            code = tl.load(codes + output * INPUTS + place, mask=real, other=0)
        if SCALED_BY == 2:
            scale_at = (output * INPUTS + place) // GROUP
        elif SCALED_BY == 1:
            scale_at = output * GROUPS + tl.load(groups + place, mask=real_input, other=0)
        elif GROUP % BLOCK_INPUTS == 0:
            scale_at = output * GROUPS + first_input // GROUP  # [outputs, 1]
            real = real_output
        else:
            scale_at = output * GROUPS + place // GROUP
        scale = tl.load(scales + scale_at, mask=real, other=0).to(tl.float32)
        if table is not None:
            number = tl.load(table + code) * scale
        else:
            zero = tl.load(zeros + scale_at, mask=real, other=0).to(tl.float32)
            number = (code.to(tl.float32) - zero) * scale
        met = tl.load(x + row * INPUTS + place, mask=real_row & real_input, other=0.0)
        total += tl.dot(met, tl.trans(number.to(met.dtype)), input_precision="ieee")
    at = row * OUTPUTS + tl.trans(output)
    tl.store(product + at, total.to(x.dtype.element_ty), mask=real_row & tl.trans(real_output))
