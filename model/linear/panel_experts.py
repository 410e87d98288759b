"""A layer's experts in one C++ kernel: see `model/kernels/cpu/experts.cpp`.

N tokens, n assignments, D width, F hidden width of an expert, E experts.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from model.linear.panels import Panels, in_panels

# x [N, D], tokens [n] and ends [E] as `model.kernels.route` has them -> each assignment's output [n, D]
RunExperts = Callable[[Tensor, Tensor, Tensor], Tensor]


def panel_experts(
    w13: Tensor, w2: Tensor, lay_out: Callable[[Tensor], Panels] = in_panels
) -> RunExperts:  # [E, 2 F, D], [E, D, F]
    """Half of a panel of w13 are gates, the other half the ups that they open for."""
    operators = torch.ops.mixtray_layer
    run, tiles, half = operators.experts.default, operators.has_tiles(), operators.panel_width() // 2
    of_hidden = lay_out(w2)
    hidden_width = of_hidden.numbers.shape[2] * of_hidden.numbers.shape[4]
    needed = -(-hidden_width // half) * half  # gates of hidden states that are always zero
    filled = F.pad(w13.unflatten(1, (2, -1)), (0, 0, 0, needed - w2.shape[2]))  # [E, 2, F, D]
    paired = filled.unflatten(2, (-1, half)).transpose(1, 2).flatten(1, 3)
    of_gates = lay_out(paired)

    def run_all(x: Tensor, tokens: Tensor, ends: Tensor) -> Tensor:
        outputs: Tensor = run(
            x, tokens, ends, of_gates.numbers, of_gates.scales, of_hidden.numbers, of_hidden.scales, tiles
        )
        return outputs

    return run_all
