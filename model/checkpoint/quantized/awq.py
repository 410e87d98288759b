"""AWQ's weights, as AutoAWQ's version gemm packs them. arXiv 2306.00978; casper-hansen/AutoAWQ, awq/utils.

I input and O output features, G groups of inputs. Eight numbers of 4 bits of neighbouring outputs share 32
bits, in the order 0, 2, 4, 6, 1, 3, 5, 7 from the lowest bits on.
"""

from model.checkpoint.quantized.kept import Kept
from model.checkpoint.quantized.packed_bits import require_part, unpacked
from model.checkpoint.quantized.quantized_weight import SIXTEEN_BITS, Parts, QuantizedWeight
from model.linear.grid import Grid

REQUIRED = {"qweight", "qzeros", "scales"}
_PLACES = (0, 4, 1, 5, 2, 6, 3, 7)  # in the 32 bits, of the numbers 0 to 7


def awq_weight(parts: Parts) -> QuantizedWeight:
    """From qweight [I, O / 8], qzeros [G, O / 8] and scales [G, O]; ValueError if they don't fit."""
    inputs, packed = require_part(parts.name("qweight"), parts["qweight"], ["I32"])
    G, outputs = require_part(parts.name("scales"), parts["scales"], SIXTEEN_BITS)
    require_part(parts.name("qzeros"), parts["qzeros"], ["I32"], [G, packed])
    if packed * 8 != outputs or not G or inputs % G:
        raise ValueError(
            f"{parts.name('scales')}: shape {[G, outputs]} does not fit {packed * 8} outputs, {inputs} inputs"
        )

    def read() -> Grid:
        codes, zeros = (unpacked(parts[part][:], 4, _PLACES) for part in ("qweight", "qzeros"))
        scales = parts["scales"][:].float()
        return Grid(4, codes.T.contiguous(), scales.T.contiguous(), zeros.T.float().contiguous())

    return QuantizedWeight((outputs, inputs), read, Kept(outputs, inputs, 4, inputs // G))
