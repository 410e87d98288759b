"""Keys and values of all rows in one arena a layer, and attention to them.

A row owns one contiguous segment of places, so that attention reads a plain slice: no page table, no pads.
n new tokens of a row, S its tokens so far, H query heads, G key/value heads, hd head dimension.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from model.batch import Batch, Row
from model.choices import ChoiceTree
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
        device = cache.keys[0].device
        self.cache = cache
        self.places = batch.cache_places().to(device)  # [N]
        self.lengths = [row.length for row in batch.rows]
        self.reads = [_reads(row, cache.sliding_window, device) for row in batch.rows]

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor
    ) -> Tensor:  # q [N, H, hd], k and v [N, G, hd]
        keys = self.cache.keys[layer].index_copy_(0, self.places, k)
        values = self.cache.values[layer].index_copy_(0, self.places, v)
        return torch.cat(
            [
                _attend(new, keys[read.places], values[read.places], read)
                for queries, reads in zip(q.split(self.lengths), self.reads, strict=True)
                for new, read in zip(queries.split([read.queries for read in reads]), reads, strict=True)
            ]
        )


@dataclass(frozen=True)
class Read:
    """Which places of the cache some of a row's new tokens attend to: all, causally, or by a mask."""

    queries: int
    places: slice
    causal: bool = False
    mask: Tensor | None = None  # [queries, places] bool


def _reads(row: Row, window: int | None, device: torch.device) -> list[Read]:
    """What a row's new tokens read: first those of the row itself, then the nodes of its tree."""
    new, trunk = len(row.token_ids), row.cached + len(row.token_ids)
    end, nodes = row.start + trunk, len(row.tree.token_ids)
    if new == 1:
        reads = [Read(1, slice(max(row.start, end - (window or trunk)), end))]
    elif row.cached == 0 and trunk <= (window or trunk):
        reads = [Read(new, slice(row.start, end), causal=True)]
    else:
        reads = [Read(new, slice(row.start, end), mask=_visible(row.cached, trunk, window).to(device))]
    if nodes:
        mask = _tree_visible(row.tree, trunk, window).to(device)
        reads.append(Read(nodes, slice(row.start, end + nodes), mask=mask))
    return reads


def _visible(cached: int, trunk: int, window: int | None) -> Tensor:
    """[n, S] bool: each new token sees those up to itself, or the last `window` of them."""
    place = torch.arange(trunk)
    distance = place[cached:, None] - place[None, :]
    return (distance >= 0) & (distance < (window or trunk))


def _tree_visible(tree: ChoiceTree, trunk: int, window: int | None) -> Tensor:
    """[t, S + t] bool: a node of the tree sees the row's tokens and its own ancestors, within the window."""
    place = torch.cat((torch.arange(trunk), trunk + torch.tensor(tree.depths)))
    distance = place[trunk:, None] - place[None, :]
    seen = torch.cat((torch.ones(len(tree.depths), trunk, dtype=torch.bool), tree.ancestors), dim=1)
    return seen & (distance < (window or int(place.max()) + 1))


def _attend(q: Tensor, k: Tensor, v: Tensor, read: Read) -> Tensor:
    """q [n, H, hd], k and v [S, G, hd] -> [n, H, hd]"""
    if len(q) == 1 and read.mask is None:
        grouped = q.view(1, k.shape[1], -1, q.shape[2])  # [1, G, H / G, hd]: heads of a group share one read
        attended = F.scaled_dot_product_attention(grouped, k.transpose(0, 1)[None], v.transpose(0, 1)[None])
        return attended.reshape(q.shape)
    attended = F.scaled_dot_product_attention(
        q.transpose(0, 1)[None],
        k.transpose(0, 1)[None],
        v.transpose(0, 1)[None],
        attn_mask=read.mask,
        is_causal=read.causal,
        enable_gqa=True,
    )  # [1, H, n, hd]
    return attended[0].transpose(0, 1)
