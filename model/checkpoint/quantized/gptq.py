"""GPTQ's weights, as AutoGPTQ and GPTQModel pack them. arXiv 2210.17323.

I input and O output features, G groups of inputs. Numbers of 4 or 8 bits of neighbouring inputs share 32
bits, the first in the lowest ones; zeros those of neighbouring outputs. In the first version of the format,
the usual one, zeros are stored less one, modulo 2 ^ bits. With activation order (`desc_act`) g_idx gives the
group of each input.
"""

import torch

from model.checkpoint.quantized.kept import Kept
from model.checkpoint.quantized.packed_bits import require_part, unpacked
from model.checkpoint.quantized.quantized_weight import SIXTEEN_BITS, Parts, QuantizedWeight
from model.linear.grid import Grid

REQUIRED = {"qweight", "qzeros", "scales"}
OPTIONAL = {"g_idx", "bias"}


def gptq_weight(parts: Parts, bits: int, less_one: bool) -> QuantizedWeight:
    """From qweight [I * bits / 32, O], qzeros [G, O * bits / 32], scales [G, O] and g_idx [I], if stored.

    ValueError if they don't fit, or a bias that is not zero is stored: the model has none.
    """
    each = 32 // bits
    packed, outputs = require_part(parts.name("qweight"), parts["qweight"], ["I32"])
    G, scaled = require_part(parts.name("scales"), parts["scales"], SIXTEEN_BITS)
    inputs = packed * each
    require_part(parts.name("qzeros"), parts["qzeros"], ["I32"], [G, -(-outputs // each)])
    if scaled != outputs or not G or ("g_idx" not in parts and inputs % G):
        raise ValueError(
            f"{parts.name('scales')}: shape {[G, scaled]} does not fit {outputs} outputs, {inputs} inputs"
        )
    groups = None
    if "g_idx" in parts:
        require_part(parts.name("g_idx"), parts["g_idx"], ["I32", "I64"], [inputs])
        groups = parts["g_idx"][:].long()
        if groups.min() < 0 or groups.max() >= G:
            raise ValueError(f"{parts.name('g_idx')}: names a group that is not there: there are {G}")
        if not inputs % G and torch.equal(groups, torch.arange(inputs) // (inputs // G)):
            groups = None
    if "bias" in parts and parts["bias"][:].any():
        raise ValueError(f"{parts.name('bias')}: is not zero, and the model has no biases")

    def read() -> Grid:
        codes = unpacked(parts["qweight"][:].T.contiguous(), bits)  # [O, I]
        zeros = unpacked(parts["qzeros"][:], bits)[:, :outputs]  # [G, O]
        if less_one:
            zeros = (zeros + 1) & ((1 << bits) - 1)
        scales = parts["scales"][:].float()
        return Grid(bits, codes, scales.T.contiguous(), zeros.T.float().contiguous(), groups)

    kept = Kept(outputs, inputs, bits, inputs // G)
    if groups is not None:
        kept = Kept(outputs, inputs, bits, groups=groups, count=G)
    return QuantizedWeight((outputs, inputs), read, kept)
