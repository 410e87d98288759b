"""The hidden states of a SiLU network: silu(gate) * up (Shazeer 2020, arXiv 2002.05202)."""

from torch import Tensor
from torch.nn import functional as F


def swish_product(gate_up: Tensor) -> Tensor:  # [n, 2 F] -> [n, F]
    gate, up = gate_up.chunk(2, dim=-1)
    return F.silu(gate) * up
