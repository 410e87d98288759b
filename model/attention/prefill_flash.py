"""Attention of many rows at once on a GPU: each row's new tokens to its own, side by side, not padded.

n new tokens of all rows, H query heads, G key/value heads, hd head dimension, B rows, t nodes of the largest
tree behind a prompt.
"""

import torch
from torch import Tensor

from model.attention.flash import Ragged, flash
from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import attend, bias_of, merge
from model.scheduling.batch import Row


class FlashPrefill:
    """All rows of a step that bring several tokens, and have none in the cache."""

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
        to_nodes = self.trees.attend_among(q, k, v)
        attended[nodes], lse[nodes] = merge(*to_rows, *to_nodes), torch.logaddexp(to_rows[1], to_nodes[1])
        return [(attended, lse)]


class Trees:
    """Nodes behind their rows' tokens; a node sees all those tokens, its ancestors and itself."""

    def __init__(self, rows: list[Row], device: torch.device) -> None:
        is_node = torch.cat([torch.arange(row.length) >= len(row.token_ids) for row in rows])
        has_tree = torch.cat([torch.full((row.length,), bool(row.tree.token_ids)) for row in rows])
        self.trunk_tokens = (~is_node).nonzero()[:, 0].to(device)
        self.read_tokens = (~is_node & has_tree).nonzero()[:, 0].to(device)  # of rows that have a tree
        rows = [row for row in rows if row.tree.token_ids]
        self.nodes = Ragged.of([len(row.tree.token_ids) for row in rows], device)
        self.read = Ragged.of([len(row.token_ids) for row in rows], device)
        node_tokens = is_node.nonzero()[:, 0]
        real = torch.zeros(len(rows), self.nodes.longest, dtype=torch.bool)
        visible = torch.eye(self.nodes.longest, dtype=torch.bool).repeat(len(rows), 1, 1)
        for i, row in enumerate(rows):
            nodes = len(row.tree.token_ids)
            real[i, :nodes] = True
            visible[i, :nodes, :nodes] = torch.from_numpy(row.tree.ancestors)
        padded = torch.zeros(real.shape, dtype=torch.int64)
        padded[real] = node_tokens
        self.node_tokens, self.padded = node_tokens.to(device), padded.to(device)  # [nodes], [B, t]
        self.real = real.flatten().nonzero()[:, 0].to(device)  # [nodes] of the B * t
        self.visible = visible[:, None].to(device)  # [B, 1, t, t]; a pad sees itself

    def attend_among(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Nodes to nodes -> [nodes, H, hd] and log-sum-exp [nodes, H]"""
        padded = (x[self.padded].transpose(1, 2) for x in (q, k, v))  # [B, heads, t, hd]
        attended, lse = attend(*padded, bias=bias_of(self.visible, q.dtype))
        return attended.transpose(1, 2).flatten(0, 1)[self.real], lse.transpose(1, 2).flatten(0, 1)[self.real]
