"""compressed-tensors' whole numbers of 4 and 8 bits: formats pack-quantized and int-quantized.

O output and I input features, G groups of inputs. Numbers are signed; packed, they have 2 ^ (bits - 1) added,
those of neighbouring inputs share 32 bits, the first in the lowest ones, and zeros those of neighbouring
outputs. The format: compressed_tensors.compressors, vllm-project/compressed-tensors.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from model.checkpoint.quantized.kept import Kept
from model.checkpoint.quantized.packed_bits import require_part, unpacked
from model.checkpoint.quantized.quantized_weight import SIXTEEN_BITS, Parts, QuantizedWeight
from model.linear.grid import Grid


def packed_weight(parts: Parts, widths: Sequence[int]) -> QuantizedWeight:
    """From weight_packed [O, I * bits / 32], weight_shape, weight_scale [O, G] and what else is stored.

    That is weight_zero_point [O * bits / 32, G] and weight_g_idx [I]. `widths`: the bits are one of these.
    ValueError if they don't fit.
    """
    outputs, packed = require_part(parts.name("weight_packed"), parts["weight_packed"], ["I32"])
    require_part(parts.name("weight_shape"), parts["weight_shape"], ["I64", "I32"], [2])
    shape = parts["weight_shape"][:].tolist()
    inputs = shape[1]
    bits = next((bits for bits in widths if packed == -(-inputs * bits // 32)), None)
    if shape[0] != outputs or inputs < 1 or bits is None:
        raise ValueError(
            f"{parts.name('weight_shape')}: {shape} of {' or '.join(map(str, widths))} bits are not "
            f"{[outputs, packed]} packed"
        )
    G = _groups(parts, outputs, inputs)
    zeros_packed = "weight_zero_point" in parts
    if zeros_packed:
        rows = -(-outputs * bits // 32)
        require_part(parts.name("weight_zero_point"), parts["weight_zero_point"], ["I32"], [rows, G])
    order = _order(parts, inputs, G)

    def read() -> Grid:
        codes = unpacked(parts["weight_packed"][:], bits)[:, :inputs].contiguous()
        scales = parts["weight_scale"][:].float().reshape(-1, G).expand(outputs, G).contiguous()
        zeros = torch.full_like(scales, 1 << (bits - 1))
        if zeros_packed:
            packed_zeros = parts["weight_zero_point"][:].T.contiguous()  # [G, O * bits / 32]
            zeros = unpacked(packed_zeros, bits)[:, :outputs].T.float().contiguous()
        return Grid(bits, codes, scales, zeros, order)

    kept = Kept(outputs, inputs, bits, inputs // G)
    if order is not None:
        kept = Kept(outputs, inputs, bits, groups=order, count=G)
    return QuantizedWeight((outputs, inputs), read, kept)


def signed_weight(parts: Parts) -> QuantizedWeight:
    """From weight [O, I] in int8, weight_scale [O, G], and weight_zero_point of the same shape, if stored."""
    outputs, inputs = require_part(parts.name("weight"), parts["weight"], ["I8"])
    G = _groups(parts, outputs, inputs)
    if "weight_zero_point" in parts:
        shape = parts["weight_scale"].get_shape()
        require_part(parts.name("weight_zero_point"), parts["weight_zero_point"], ["I8"], shape)

    def read() -> Grid:
        codes = parts["weight"][:].view(torch.uint8) ^ 128  # plus 128
        scales = parts["weight_scale"][:].float().reshape(-1, G).expand(outputs, G).contiguous()
        zeros = torch.full_like(scales, 128)
        if "weight_zero_point" in parts:
            zeros = zeros + parts["weight_zero_point"][:].float().reshape(-1, G)
        return Grid(8, codes, scales, zeros)

    return QuantizedWeight((outputs, inputs), read, Kept(outputs, inputs, 8, inputs // G))


def _groups(parts: Parts, outputs: int, inputs: int) -> int:
    """How many there are, by the shape of the scales: one for all, for each output, or several for each."""
    name, shape = parts.name("weight_scale"), parts["weight_scale"].get_shape()
    G = shape[1] if len(shape) == 2 else 1
    fits = shape in ([], [1], [1, 1], [outputs]) or (len(shape) == 2 and shape[0] == outputs)
    if not fits or not G or ("weight_g_idx" not in parts and inputs % G):
        raise ValueError(f"{name}: shape {shape} does not fit a weight of shape {[outputs, inputs]}")
    require_part(name, parts["weight_scale"], SIXTEEN_BITS, shape)
    return G


def _order(parts: Parts, inputs: int, G: int) -> Tensor | None:
    if "weight_g_idx" not in parts:
        return None
    require_part(parts.name("weight_g_idx"), parts["weight_g_idx"], ["I32", "I64"], [inputs])
    groups = parts["weight_g_idx"][:].long()
    if groups.min() < 0 or groups.max() >= G:
        raise ValueError(f"{parts.name('weight_g_idx')}: names a group that is not there: there are {G}")
    return groups
