"""Attention of rows with several new tokens, one row at a time: a row's work keeps the machine busy.

n new tokens of a row, S tokens it reads, H query heads, G key/value heads, hd head dimension.
"""

import numpy as np
import torch
from torch import Tensor

from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import attend_tokens, bias_of, merge
from model.attention.tree_blocks import TreeBlocks
from model.machine.to_device import to_device
from model.requests.token_tree import NO_TREE, TokenTree
from model.scheduling.batch import Row


class TorchPrefill:
    """Several rows, whose new tokens lie side by side in the batch."""

    def __init__(self, cache: KVCache, rows: list[Row]) -> None:
        self.spans = [Span(cache, row) for row in rows]

    def attend(
        self, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """New queries, keys and values of all rows, the layer's pages -> what Span.attend gives for each."""
        lengths = [span.length for span in self.spans]
        new = zip(self.spans, q.split(lengths), k.split(lengths), v.split(lengths), strict=True)
        return [span.attend(q, k, v, keys, values) for span, q, k, v in new]


class Span:
    """The new tokens of one row, and its tree's nodes, read each other.

    The nodes of a large tree read the row's tokens and each other apart, so that none of this is as large as
    the square of the tree. Where a sliding window hides tokens they don't, as what a node sees depends on its
    depth; and cached tokens that are not hidden are read here, too.
    """

    def __init__(self, cache: KVCache, row: Row) -> None:
        window = cache.window.size if cache.window.hides(row.reach) else None
        self.length = row.length
        tree, self.blocks, self.apart = row.tree, None, 0  # how many nodes read apart
        if window is None and len(tree.blocks) > 1:
            self.blocks, self.apart = (
                to_device(TreeBlocks.of([(len(row.token_ids), tree)]), cache.device),
                len(tree.token_ids),
            )
            tree = NO_TREE
        self.cached: Tensor | None = None
        seen = np.arange(cache.window.first_seen(row.cached + 1), row.cached) if window else np.arange(0)
        if cached := len(seen):
            places = cache.places(np.array(row.pages), seen, row.passed)
            self.cached = cache.indices(torch.from_numpy(places).to(cache.device))  # [S, G]
        trunk = cached + len(row.token_ids)
        self.causal = not tree.token_ids and window is None
        self.bias: Tensor | None = None
        if not self.causal:
            visible = _visible(cached, trunk, tree, window)
            self.bias = bias_of(visible.to(cache.device), cache.keys[0].dtype)[None, None]

    def attend(self, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """New queries, keys and values [n, heads, hd], the layer's pages -> [n, H, hd], log-sum-exp [n, H]"""
        among = None if self.blocks is None else self.blocks.attend(q, k, v)
        if among is not None:
            k, v = k[: -self.apart], v[: -self.apart]
        if self.cached is not None:
            k = torch.cat((keys.flatten(0, 2)[self.cached], k))
            v = torch.cat((values.flatten(0, 2)[self.cached], v))
        if among is None:
            return attend_tokens(q, k, v, causal=self.causal, bias=self.bias)
        trunk = attend_tokens(q[: -self.apart], k, v, causal=self.causal, bias=self.bias)
        to_trunk = attend_tokens(q[-self.apart :], k, v)
        nodes = merge(*to_trunk, *among), torch.logaddexp(to_trunk[1], among[1])
        return torch.cat((trunk[0], nodes[0])), torch.cat((trunk[1], nodes[1]))


def _visible(cached: int, trunk: int, tree: TokenTree, window: int | None) -> Tensor:
    """[n, S] bool: a new token sees the row's tokens up to itself, or the last `window` of them.

    A node of the tree sees the row's tokens and its own ancestors.
    """
    nodes = len(tree.token_ids)
    position = torch.cat((torch.arange(trunk), trunk + torch.tensor(tree.depths, dtype=torch.int64)))
    distance = position[cached:, None] - position[None, :]
    seen = distance >= 0
    seen[len(seen) - nodes :, trunk:] = torch.from_numpy(tree.ancestors)
    seen[: len(seen) - nodes, trunk:] = False
    return seen & (distance < (window or trunk + nodes + 1))
