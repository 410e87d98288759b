"""Weights in 8-bit floating point (e4m3), with a scale for all, for each output or for each block.

O output and I input features. So store them compressed-tensors (`weight_scale`, formats float-quantized and
naive-quantized), vLLM's static per-tensor fp8, FBGEMM's and transformers' block-wise fp8 (`weight_scale_inv`,
which is multiplied all the same). Scales of activations are passed over: rows are not rounded to 8 bits here.
"""

from dataclasses import dataclass

from torch import Tensor

from model.checkpoint.quantized.packed_bits import require_part
from model.checkpoint.quantized.quantized_weight import SIXTEEN_BITS, Parts, QuantizedWeight


@dataclass(frozen=True)
class Scaled:
    """W = weight * scales, each scale for a block of the weight: [O / A, I / B] scales have blocks [A, B]."""

    weight: Tensor  # [O, I] e4m3
    scales: Tensor  # float32, [O / A, I / B], rounded up
    block: tuple[int, int]

    def numbers(self) -> Tensor:  # [O, I] float32
        outputs, inputs = self.weight.shape
        rows, columns = self.block
        scales = self.scales
        if rows > 1:
            scales = scales.repeat_interleave(rows, 0)[:outputs]
        if columns > 1:
            scales = scales.repeat_interleave(columns, 1)[:, :inputs]
        return self.weight.float() * scales


def fp8_weight(parts: Parts, block: tuple[int, int] | None) -> QuantizedWeight:
    """From weight [O, I] and weight_scale, [] or [1] for all or [O, 1] for each output.

    With `block` weight_scale or weight_scale_inv [O / A, I / B], rounded up. ValueError if they don't fit.
    """
    outputs, inputs = require_part(parts.name("weight"), parts["weight"], ["F8_E4M3"])
    part = "weight_scale_inv" if "weight_scale_inv" in parts else "weight_scale"
    shape = parts[part].get_shape()
    if shape in ([], [1], [1, 1]):
        sizes, block_of = [1, 1], (outputs, inputs)
    elif shape in ([outputs], [outputs, 1]):
        sizes, block_of = [outputs, 1], (1, inputs)
    elif block and len(shape) == 2:
        block_of = block
        sizes = [-(-outputs // block[0]), -(-inputs // block[1])]
    else:
        raise ValueError(
            f"{parts.name(part)}: shape {shape} does not fit a weight of shape {[outputs, inputs]}"
        )
    require_part(parts.name(part), parts[part], SIXTEEN_BITS, sizes if len(shape) == 2 else shape)

    def read() -> Scaled:
        scales = parts[part][()].float().reshape(sizes)
        return Scaled(parts["weight"][:], scales, block_of)

    return QuantizedWeight((outputs, inputs), read)
