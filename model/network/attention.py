"""Grouped-query attention: projections, rotation, and attention over a batch without a cache.

B rows, T padded length, N real tokens of all rows, D width, H query heads, G key/value heads, hd head
dimension. Heads are this rank's share of them.
"""

from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.config import ModelConfig
from model.kernels.cache_writes import LayerCache
from model.kernels.kernels import Kernels
from model.linear.layout import Layout
from model.linear.linear import Linear
from model.network.tensor_parallel import TensorParallel


class Attend(Protocol):
    """Decides which tokens each one of a batch sees."""

    def cache(self, layer: int) -> LayerCache | None:
        """Where the new keys and values are to be stored before the call; None: nowhere."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor, /) -> Tensor:
        """Queries [N, H, hd], keys and values [N, G, hd] -> [N, H, hd]"""


class Attention(nn.Module):
    def __init__(self, layer: int, config: ModelConfig, tp: TensorParallel) -> None:
        super().__init__()
        heads, kv_heads = tp.share(config.num_heads, "attention heads"), tp.kv_share(config.num_kv_heads)
        self.layer = layer
        self.tp = tp
        self.head_dim = config.head_dim
        self.num_heads = heads.stop - heads.start
        self.num_kv_heads = kv_heads.stop - kv_heads.start
        rows = (self.num_heads + 2 * self.num_kv_heads) * self.head_dim
        self.wqkv = Linear(rows, config.dim)
        self.wo = Linear(config.dim, self.num_heads * self.head_dim)

    def lay_out(self, layout: Layout) -> None:
        self.wqkv.lay_out(layout)
        self.wo.lay_out(layout)

    def forward(
        self, x: Tensor, rope: tuple[Tensor, Tensor], attend: Attend, kernels: Kernels
    ) -> Tensor:  # [N, D] -> [N, D]
        qkv = self.wqkv(x).unflatten(-1, (-1, self.head_dim))  # [N, H + 2 G, hd]
        q, k = kernels.rotate(qkv, rope, self.num_heads, self.num_kv_heads, attend.cache(self.layer))
        v = qkv[:, self.num_heads + self.num_kv_heads :]
        attended = attend(self.layer, q, k, v)  # [N, H, hd]
        return self.tp.all_reduce(self.wo(attended.flatten(1)))


class PaddedAttention:
    """Attention within a left-padded batch: each row's tokens see its earlier ones, pads see nothing."""

    def __init__(self, mask: Tensor, sliding_window: int | None) -> None:  # mask [B, T], True at real tokens
        self.mask = mask
        position = torch.arange(mask.shape[1], device=mask.device)
        distance = position[:, None] - position[None, :]  # [T, T] query - key
        visible = distance >= 0
        if sliding_window is not None:
            visible &= distance < sliding_window
        # A pad attends to itself: a row of the softmax without any key would be NaN.
        itself = distance == 0
        self.visible = ((visible & mask[:, None, :]) | itself)[:, None]  # [B, 1, T, T]

    def cache(self, layer: int) -> None:
        return None

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        padded = F.scaled_dot_product_attention(
            self._pad(q), self._pad(k), self._pad(v), attn_mask=self.visible, enable_gqa=True
        )  # [B, H, T, hd]
        return padded.transpose(1, 2)[self.mask]

    def _pad(self, x: Tensor) -> Tensor:  # [N, H, hd] -> [B, H, T, hd]
        padded = x.new_zeros(*self.mask.shape, *x.shape[1:])
        padded[self.mask] = x
        return padded.transpose(1, 2)
