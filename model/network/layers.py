"""The small layers of every block: RMSNorm and rotary position embeddings.

N tokens, D width, H heads, hd head dimension.
"""

import torch
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """x / rms(x) * weight, the mean taken in fp32 (Zhang and Sennrich 2019, arXiv 1910.07467)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.empty(dim), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:  # [N, D] -> [N, D]
        exact = x.float()
        exact = exact * torch.rsqrt(exact.pow(2).mean(-1, keepdim=True) + self.eps)
        return self.weight * exact.to(x.dtype)


class RoPE(nn.Module):
    """Rotary position embeddings (Su et al. 2021, arXiv 2104.09864), halves rotated as HF stores them."""

    inverse_frequencies: Tensor

    def __init__(self, head_dim: int, theta: float) -> None:
        super().__init__()
        exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
        self.register_buffer("inverse_frequencies", 1.0 / theta**exponents, persistent=False)

    def forward(self, positions: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """[N] -> cosines and sines, each [N, 1, hd]: the same for all heads and layers.

        Both halves of a head turn by the same angles. The sines of the first half are negative, for `rotate`.
        """
        angles = positions[:, None].float() * self.inverse_frequencies  # [N, hd / 2]
        cos, sin = angles.cos(), angles.sin()
        return torch.cat((cos, cos), -1)[:, None].to(dtype), torch.cat((-sin, sin), -1)[:, None].to(dtype)


def rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:  # [N, H, hd] -> [N, H, hd]
    """Halves (left, right) of a head -> (left cos - right sin, right cos + left sin)."""
    cos, sin = rope
    return torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)
