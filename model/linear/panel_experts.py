"""A layer's experts in one C++ kernel: see `model/kernels/cpu/experts.cpp`.

N tokens, n assignments, D width, F hidden width of an expert, E experts.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from model.linear.panels import LayOut, Panels, in_panels

# x [N, D], tokens [n] and ends [E] as `model.kernels.route` has them -> each assignment's output [n, D]
RunExperts = Callable[[Tensor, Tensor, Tensor], Tensor]


def panel_experts(w13: Tensor, w2: Tensor, lay_out: LayOut = in_panels) -> RunExperts:
    """w13 [E, 2 F, D] and w2 [E, D, F] laid out by `lay_out`, which rounds them or not."""
    of_hidden = lay_out(w2)
    return run_in_panels(gates_in_panels(w13, of_hidden, lay_out), of_hidden)


def gates_in_panels(w13: Tensor, of_hidden: Panels, lay_out: LayOut) -> Panels:  # [E, 2 F, D]
    """Half of a panel are gates, the other half the ups that they open for.

    There are as many as `of_hidden`, which are w2 in panels, have inputs; those that are added are zero.
    """
    half = torch.ops.mixtray_layer.panel_width() // 2
    inputs = of_hidden.numbers.shape[2] * of_hidden.numbers.shape[4]
    needed = -(-inputs // half) * half

    def paired(weight: Tensor) -> Tensor:  # [2 F, D] -> [2 F', D]
        gates_and_ups = weight.unflatten(0, (2, -1))  # [2, F, D]
        filled = F.pad(gates_and_ups, (0, 0, 0, needed - gates_and_ups.shape[1]))
        arranged: Tensor = filled.unflatten(1, (-1, half)).transpose(0, 1).flatten(0, 2)
        return arranged

    return lay_out(w13, paired)


def run_in_panels(of_gates: Panels, of_hidden: Panels) -> RunExperts:
    run = torch.ops.mixtray_layer.experts.default

    def run_all(x: Tensor, tokens: Tensor, ends: Tensor) -> Tensor:
        outputs: Tensor = run(
            x, tokens, ends, of_gates.numbers, of_gates.scales, of_hidden.numbers, of_hidden.scales
        )
        return outputs

    return run_all
