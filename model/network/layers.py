"""The norm of every block. N tokens, D width."""

import torch
from torch import Tensor, nn

from model.kernels.kernels import Kernels


class RMSNorm(nn.Module):
    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim), requires_grad=False)

    def forward(self, x: Tensor, update: Tensor | None, kernels: Kernels) -> tuple[Tensor, Tensor]:
        """[N, D] each -> x + update, and that normalised: see `model.kernels.norm`."""
        return kernels.add_norm(x, update, self.weight, self.eps)
