"""The small layers of every block: RMSNorm and rotary position embeddings.

N tokens, D width, hd head dimension.
"""

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


class RoPE(nn.Module):
    """The angles of rotary position embeddings: see `model.kernels.rotation`."""

    inverse_frequencies: Tensor

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
        self.register_buffer("inverse_frequencies", 1.0 / theta**exponents, persistent=False)

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """[N] -> cosines and sines, each [N, 1, hd]: the same for all heads and layers.

        Both halves of a head turn by the same angles. The sines of the first half are negative, see there.
        """
        angles = positions[:, None].float() * self.inverse_frequencies  # [N, hd / 2]
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((cos, cos), -1)[:, None].to(dtype), torch.cat((-sin, sin), -1)[:, None].to(dtype)
