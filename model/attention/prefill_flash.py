"""Attention of rows with several new tokens by FlashAttention: all rows in one call, without padding.

n new tokens of all rows, H query heads, G key/value heads, hd head dimension.
"""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.attention.flash import Ragged, flash
from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import merge
from model.attention.tree_blocks import TreeBlocks
from model.machine.to_device import Numbers
from model.scheduling.batch import Row


@dataclass(frozen=True)
class FlashPrefill(Generic[Numbers]):
    """All rows of a step that bring several tokens.

    FlashAttention knows no trees. So nodes attend in two parts, which are merged: to their rows' tokens, and
    to their ancestors and themselves.
    """

    window: int | None  # hides nothing from rows that have a tree or cached tokens
    trunks: Ragged[Numbers]
    trees: "Trees[Numbers] | None"

    @staticmethod
    def of(cache: KVCache, rows: list[Row]) -> "FlashPrefill[NDArray[Any]]":
        trunks = Ragged.of([len(row.token_ids) for row in rows])
        trees = Trees.of(rows) if any(row.tree.token_ids for row in rows) else None
        return FlashPrefill(cache.window.size, trunks, trees)

    def attend(
        self: "FlashPrefill[Tensor]", q: Tensor, k: Tensor, v: Tensor, *_: Tensor
    ) -> list[tuple[Tensor, Tensor]]:
        """New queries, keys and values [n, heads, hd] -> [n, H, hd] and log-sum-exp [n, H]"""
        if self.trees is None:
            return [flash(q, k, v, self.trunks, self.trunks, causal=True, window=self.window)]
        trunk, nodes = self.trees.trunk_tokens, self.trees.node_tokens
        keys, values = k[trunk], v[trunk]
        attended, lse = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)
        attended[trunk], lse[trunk] = flash(
            q[trunk], keys, values, self.trunks, self.trunks, causal=True, window=self.window
        )
        read = self.trees.read_tokens
        to_rows = flash(q[nodes], k[read], v[read], self.trees.nodes, self.trees.read, causal=False)
        to_nodes = self.trees.blocks.attend(q, k, v)
        attended[nodes], lse[nodes] = merge(*to_rows, *to_nodes), torch.logaddexp(to_rows[1], to_nodes[1])
        return [(attended, lse)]


@dataclass(frozen=True)
class Trees(Generic[Numbers]):
    """Which of the new tokens are nodes, and which nodes and tokens each of them sees."""

    trunk_tokens: Numbers
    read_tokens: Numbers  # of rows that have a tree
    node_tokens: Numbers
    blocks: TreeBlocks[Numbers]
    nodes: Ragged[Numbers]
    read: Ragged[Numbers]

    @staticmethod
    def of(rows: list[Row]) -> "Trees[NDArray[Any]]":
        is_node = np.concatenate([np.arange(row.length) >= len(row.token_ids) for row in rows])
        has_tree = np.repeat([bool(row.tree.token_ids) for row in rows], [row.length for row in rows])
        ends = accumulate(row.length for row in rows)
        trees = [
            (end - len(row.tree.token_ids), row.tree)
            for end, row in zip(ends, rows, strict=True)
            if row.tree.token_ids
        ]
        with_tree = [row for row in rows if row.tree.token_ids]
        return Trees(
            trunk_tokens=(~is_node).nonzero()[0],
            read_tokens=(~is_node & has_tree).nonzero()[0],
            node_tokens=is_node.nonzero()[0],
            blocks=TreeBlocks.of(trees),
            nodes=Ragged.of([len(row.tree.token_ids) for row in with_tree]),
            read=Ragged.of([len(row.token_ids) for row in with_tree]),
        )
