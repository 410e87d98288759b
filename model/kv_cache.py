"""Keys and values of all rows in one arena a layer, and attention to them.

A row owns one contiguous segment of places, so that attention reads a plain slice: no page table, no pads.
n new tokens of a row, S its tokens so far, H query heads, G key/value heads, hd head dimension.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from model.batch import Batch, Row
from model.config import ModelConfig
from model.parallel import TensorParallel


class KVCache:
    def __init__(
        self, config: ModelConfig, tokens: int, tp: TensorParallel, dtype: torch.dtype, device: torch.device
    ) -> None:
        kv_heads = tp.kv_share(config.num_kv_heads)
        shape = (tokens, kv_heads.stop - kv_heads.start, config.head_dim)
        self.keys = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_layers)]
        self.values = [torch.empty(shape, dtype=dtype, device=device) for _ in range(config.num_layers)]
        self.sliding_window = config.sliding_window


class CachedAttention:
    """Attention of a batch's new tokens to all tokens of their rows; stores the new keys and values first."""

    def __init__(self, cache: KVCache, batch: Batch) -> None:
        self.cache = cache
        self.rows = batch.rows
        self.places = batch.cache_places().to(cache.keys[0].device)  # [N]
        self.lengths = [row.length for row in batch.rows]

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor
    ) -> Tensor:  # q [N, H, hd], k and v [N, G, hd]
        keys = self.cache.keys[layer].index_copy_(0, self.places, k)
        values = self.cache.values[layer].index_copy_(0, self.places, v)
        return torch.cat(
            [
                self._attend_row(row, queries, keys, values)
                for row, queries in zip(self.rows, q.split(self.lengths), strict=True)
            ]
        )

    def _attend_row(self, row: Row, q: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        trunk = row.cached + len(row.token_ids)
        window = self.cache.sliding_window

        def attend(
            queries: Tensor, first: int, end: int, mask: Tensor | None, causal: bool = False
        ) -> Tensor:
            k, v = (x[row.start + first : row.start + end] for x in (keys, values))
            return _attend(queries, k, v, mask, causal)

        if row.length == 1:
            return attend(q, max(0, trunk - window) if window else 0, trunk, None)
        new = q[: len(row.token_ids)]
        if row.cached == 0 and (window is None or trunk <= window):
            attended = attend(new, 0, trunk, None, causal=True)
        else:
            attended = attend(new, 0, trunk, _visible(row.cached, trunk, window, q.device))
        if not row.tree:
            return attended
        mask = _tree_visible(row, trunk, window).to(q.device)
        return torch.cat((attended, attend(q[len(row.token_ids) :], 0, trunk + len(row.tree), mask)))


def _visible(cached: int, trunk: int, window: int | None, device: torch.device) -> Tensor:
    """[n, S] bool: each new token sees those up to itself, or the last `window` of them."""
    place = torch.arange(trunk, device=device)
    distance = place[cached:, None] - place[None, :]
    return (distance >= 0) & (distance < (window or trunk))


def _tree_visible(row: Row, trunk: int, window: int | None) -> Tensor:
    """[t, S + t] bool: a node of the tree sees the row's tokens and its own ancestors, within the window."""
    assert row.tree is not None
    place = torch.cat((torch.arange(trunk), trunk + torch.tensor(row.tree.depths)))
    distance = place[trunk:, None] - place[None, :]
    seen = torch.cat((torch.ones(len(row.tree), trunk, dtype=torch.bool), row.tree.ancestors), dim=1)
    return seen & (distance < (window or int(place.max()) + 1))


def _attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None, causal: bool) -> Tensor:
    """q [n, H, hd], k and v [S, G, hd] -> [n, H, hd]"""
    if len(q) == 1 and mask is None:
        grouped = q.view(1, k.shape[1], -1, q.shape[2])  # [1, G, H / G, hd]: heads of a group share one read
        attended = F.scaled_dot_product_attention(grouped, k.transpose(0, 1)[None], v.transpose(0, 1)[None])
        return attended.reshape(q.shape)
    attended = F.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        v.transpose(0, 1)[None],
        attn_mask=mask,
        is_causal=causal,
        enable_gqa=True,
    )  # [1, H, n, hd]
    return attended[0].transpose(0, 1)
