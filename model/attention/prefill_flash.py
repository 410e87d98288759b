"""Attention of rows with several new tokens by FlashAttention: all rows in one call, without padding.

n new tokens of all rows, H query heads, G key/value heads, hd head dimension.
"""

from itertools import accumulate

import torch
from torch import Tensor

from model.attention.flash import Ragged, flash
from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import merge
from model.attention.tree_blocks import TreeBlocks
from model.scheduling.batch import Row


class FlashPrefill:
    """All rows of a step that bring several tokens and have none in the cache.

    FlashAttention knows no trees. So nodes attend in two parts, which are merged: to their rows' tokens, and
    to their ancestors and themselves.
    """

    def __init__(self, cache: KVCache, rows: list[Row]) -> None:
        self.window = cache.sliding_window
        self.trunks = Ragged.of([len(row.token_ids) for row in rows], cache.device)
        self.trees = Trees(rows, cache.device) if any(row.tree.token_ids for row in rows) else None

    def attend(self, q: Tensor, k: Tensor, v: Tensor, *_: Tensor) -> list[tuple[Tensor, Tensor]]:
        """New queries, keys and values [n, heads, hd] -> [n, H, hd] and log-sum-exp [n, H]"""
        if self.trees is None:
            return [flash(q, k, v, self.trunks, self.trunks, causal=True, window=self.window)]
        trunk, nodes = self.trees.trunk_tokens, self.trees.node_tokens
        keys, values = k[trunk], v[trunk]
        attended, lse = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)
        attended[trunk], lse[trunk] = flash(q[trunk], keys, values, self.trunks, self.trunks, causal=True)
        read = self.trees.read_tokens
        to_rows = flash(q[nodes], k[read], v[read], self.trees.nodes, self.trees.read, causal=False)
        to_nodes = self.trees.blocks.attend(q, k, v)
        attended[nodes], lse[nodes] = merge(*to_rows, *to_nodes), torch.logaddexp(to_rows[1], to_nodes[1])
        return [(attended, lse)]


class Trees:
    """Which of the new tokens are nodes, and which nodes and tokens each of them sees."""

    def __init__(self, rows: list[Row], device: torch.device) -> None:
        is_node = torch.cat([torch.arange(row.length) >= len(row.token_ids) for row in rows])
        has_tree = torch.cat([torch.full((row.length,), bool(row.tree.token_ids)) for row in rows])
        self.trunk_tokens = (~is_node).nonzero()[:, 0].to(device)
        self.read_tokens = (~is_node & has_tree).nonzero()[:, 0].to(device)  # of rows that have a tree
        self.node_tokens = is_node.nonzero()[:, 0].to(device)
        ends = accumulate(row.length for row in rows)
        trees = [
            (end - len(row.tree.token_ids), row.tree)
            for end, row in zip(ends, rows, strict=True)
            if row.tree.token_ids
        ]
        self.blocks = TreeBlocks(trees, device)
        rows = [row for row in rows if row.tree.token_ids]
        self.nodes = Ragged.of([len(row.tree.token_ids) for row in rows], device)
        self.read = Ragged.of([len(row.token_ids) for row in rows], device)
