"""A layer's experts in one C++ kernel: see `model/kernels/cpu/experts.cpp`.

N tokens, n assignments, D width, F hidden width of an expert, E experts.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from model.kernels.compiled_kernels import compiled_operators
from model.linear.panels import PAIRED_INPUTS, in_panels, lie_in_pairs

# x [N, D], tokens [n] and ends [E] as `model.kernels.route` has them -> each assignment's output [n, D]
RunExperts = Callable[[Tensor, Tensor, Tensor], Tensor]


def panel_experts(w13: Tensor, w2: Tensor) -> RunExperts:  # [E, 2 F, D], [E, D, F]
    """Half of a panel of w13 are gates, the other half the ups that they open for."""
    operators = compiled_operators()
    assert operators is not None
    run = operators.experts.default
    half = torch.ops.mixtray_layer.panel_width() // 2
    multiple = max(half, PAIRED_INPUTS) if lie_in_pairs(w2.dtype) else half
    filled = F.pad(w13.unflatten(1, (2, -1)), (0, 0, 0, -w2.shape[2] % multiple))  # [E, 2, F, D]
    paired = filled.unflatten(2, (-1, half)).transpose(1, 2).flatten(1, 3)
    of_gates_and_ups, of_hidden, tiles = in_panels(paired), in_panels(w2), operators.has_tiles()

    def run_all(x: Tensor, tokens: Tensor, ends: Tensor) -> Tensor:
        outputs: Tensor = run(x, tokens, ends, of_gates_and_ups, of_hidden, tiles)
        return outputs

    return run_all
