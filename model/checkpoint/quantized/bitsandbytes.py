"""bitsandbytes' weights: nf4 and fp4, also with scales that are quantized themselves, and int8.

I input and O output features, n = O I. In 4 bits two numbers share a byte, the first in its higher half. The
format: bitsandbytes.functional.QuantState.as_dict(packed=True), and Linear8bitLt.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from model.checkpoint.quantized.kept import Kept
from model.checkpoint.quantized.packed_bits import require_part
from model.checkpoint.quantized.quantized_weight import Parts, QuantizedWeight
from model.json_values import parsed_object, positive_integer, short
from model.linear.codebook import Codebook
from model.linear.grid import Grid

STATES = ("quant_state.bitsandbytes__nf4", "quant_state.bitsandbytes__fp4")
NESTED = {"nested_absmax", "nested_quant_map"}
_SCALE = 7.874015718698502e-3  # 1 / 127, as bitsandbytes has it
_LARGEST = 1 << 31
# By `bnb_4bit_quant_storage` the bytes are stored as if they were numbers: FSDP shards tensors of one type.
_BYTES = {"U8": 1, "I8": 1, "F16": 2, "BF16": 2, "F32": 4}


@dataclass(frozen=True)
class _State:
    shape: tuple[int, int]
    block: int
    nested_block: int
    offset: float
    table: str


def four_bit_weight(parts: Parts) -> QuantizedWeight:
    """From weight [n / 2, 1], absmax, quant_map, a state, perhaps nested ones; ValueError if they don't fit.

    A weight whose bytes are stored as numbers of b bytes has [n / 2 b, 1] of them.
    """
    state = _state(parts)
    outputs, inputs = state.shape
    blocks = -(-outputs * inputs // state.block)
    nested = parts.named() >= NESTED
    size = _BYTES.get(parts["weight"].get_dtype(), 1)
    require_part(parts.name("weight"), parts["weight"], [*_BYTES], [-(-outputs * inputs // (2 * size)), 1])
    require_part(parts.name("quant_map"), parts["quant_map"], ["F32"], [16])
    require_part(parts.name("absmax"), parts["absmax"], ["U8" if nested else "F32"], [blocks])
    if nested:
        outer = -(-blocks // state.nested_block)
        require_part(parts.name("nested_absmax"), parts["nested_absmax"], ["F32"], [outer])
        require_part(parts.name("nested_quant_map"), parts["nested_quant_map"], ["F32"], [256])

    def read() -> Codebook:
        halves = parts["weight"][:].view(-1).view(torch.uint8)  # [n / 2]
        codes = (
            torch.stack([halves >> 4, halves & 15], dim=-1).view(-1)[: outputs * inputs].view(outputs, inputs)
        )
        return Codebook(codes, parts["quant_map"][:], _largest(parts, state, nested), state.block)

    return QuantizedWeight((outputs, inputs), read, Kept(outputs, inputs, 4, state.block, state.table))


def eight_bit_weight(parts: Parts) -> QuantizedWeight:
    """From weight [O, I] and SCB [O], the largest magnitude of each output; ValueError if they don't fit."""
    outputs, inputs = require_part(parts.name("weight"), parts["weight"], ["I8"])
    require_part(parts.name("SCB"), parts["SCB"], ["F32"], [outputs])
    if "weight_format" in parts and parts["weight_format"][()].any():
        raise ValueError(f"{parts.name('weight_format')}: must be 0, rows as they are")

    def read() -> Grid:
        codes = parts["weight"][:].view(torch.uint8) ^ 128  # plus 128
        scales = (parts["SCB"][:] * _SCALE)[:, None]
        return Grid(8, codes, scales, torch.full_like(scales, 128))

    return QuantizedWeight((outputs, inputs), read, Kept(outputs, inputs, 8, inputs))


def _largest(parts: Parts, state: _State, nested: bool) -> Tensor:  # of each block
    if not nested:
        return parts["absmax"][:]
    scaled = parts["nested_quant_map"][:][parts["absmax"][:].int()]
    outer = parts["nested_absmax"][:].repeat_interleave(state.nested_block)[: len(scaled)]
    return scaled * outer + state.offset


def _state(parts: Parts) -> _State:
    part = next(part for part in STATES if part in parts)
    name, stored = parts.name(part), parts[part]
    if stored.get_dtype() != "U8" or len(stored.get_shape()) != 1 or stored.get_shape()[0] > 1 << 16:
        raise ValueError(f"{name}: must hold a few bytes")
    data = parsed_object(bytes(stored[:].tolist()), name)
    shape: Any = data.get("shape")
    if not isinstance(shape, list) or len(shape) != 2:
        raise ValueError(f"{name}: shape must be two numbers, got {short(shape)}")
    offset = data.get("nested_offset", 0.0)
    if not isinstance(offset, int | float) or not math.isfinite(offset):
        raise ValueError(f"{name}: nested_offset must be a number, got {short(offset)}")
    outputs, inputs = (positive_integer(size, "shape", _LARGEST, name) for size in shape)
    return _State(
        shape=(outputs, inputs),
        block=positive_integer(data.get("blocksize"), "blocksize", _LARGEST, name),
        nested_block=positive_integer(data.get("nested_blocksize", 256), "nested_blocksize", _LARGEST, name),
        offset=float(offset),
        table=part,
    )
