"""The angles of rotary position embeddings, plain or stretched to more than the model was trained for.

N tokens, hd head dimension. Each pair of a head's numbers turns by its frequency at every position.

linear    All frequencies are divided by the factor (Chen et al. 2023, arXiv 2306.15595).
dynamic   The base grows with the row's length, once it exceeds the original context (NTK-aware, 2023).
yarn      Slow pairs are divided by the factor, fast ones kept, those between mixed (arXiv 2309.00071).
"""

import math

import torch
from torch import Tensor, nn

from model.rope import Rope


class RoPE(nn.Module):
    """Cosines and sines of angles: see `model.kernels.rotation`."""

    inverse_frequencies: Tensor

    def __init__(self, head_dim: int, rope: Rope) -> None:
        super().__init__()
        self.head_dim = head_dim
        self.rope = rope
        self.register_buffer("inverse_frequencies", _inverse_frequencies(head_dim, rope), persistent=False)

    def forward(
        self, positions: Tensor, dtype: torch.dtype, lengths: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """[N] -> cosines and sines, each [N, 1, hd]: the same for all heads and layers.

        Both halves of a head turn by the same angles. The sines of the first half are negative, see there.
        `lengths` [N] are those of the tokens' rows, where the angles depend on them.
        """
        frequencies = self.inverse_frequencies if lengths is None else self._of_rows(lengths)
        angles = positions[:, None].float() * frequencies  # [N, hd / 2]
        cos, sin = angles.cos(), angles.sin()
        if self.rope.magnitude != 1:
            cos, sin = cos * self.rope.magnitude, sin * self.rope.magnitude
        return torch.cat((cos, cos), -1)[:, None].to(dtype), torch.cat((-sin, sin), -1)[:, None].to(dtype)

    def _of_rows(self, lengths: Tensor) -> Tensor:  # [N] -> [N, hd / 2]
        rope, hd = self.rope, self.head_dim
        longer = lengths.clamp_min(rope.original).float() / rope.original
        base = rope.theta * (rope.factor * longer - (rope.factor - 1)) ** (hd / (hd - 2))
        return 1.0 / base[:, None] ** (torch.arange(0, hd, 2, device=base.device).float() / hd)


def _inverse_frequencies(head_dim: int, rope: Rope) -> Tensor:  # [hd / 2]
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    wavelengths = rope.theta**exponents
    if rope.kind == "linear":
        return 1.0 / wavelengths / rope.factor
    if rope.kind != "yarn":
        return 1.0 / wavelengths
    slowed = _share_slowed(head_dim, rope)
    return 1.0 / (rope.factor * wavelengths) * slowed + 1.0 / wavelengths * (1 - slowed)


def _share_slowed(head_dim: int, rope: Rope) -> Tensor:
    """How far each pair is divided by the factor: 0 for those that turn fast, 1 for slow ones, [hd / 2]."""

    def pair_that_turns(times: float) -> float:
        return head_dim * math.log(rope.original / (times * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = map(pair_that_turns, rope.turns)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    if low == high:
        high += 0.001  # a step, where there is nothing between
    pairs = torch.arange(head_dim // 2, dtype=torch.float32, device="cpu")
    return ((pairs - low) / (high - low)).clamp(0, 1)
