"""Attention of the nodes of trees to their ancestors and themselves, all blocks of all trees in one call.

n new tokens of the rows, H query heads, G key/value heads, hd head dimension, B blocks of c nodes at most, S
keys that a block reads at most.
"""

from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.attention.log_sum_exp import attend, bias_of
from model.machine.to_device import Numbers
from model.requests.token_tree import TokenTree


@dataclass(frozen=True)
class TreeBlocks(Generic[Numbers]):
    queries: Numbers  # [B, c] which of the n
    keys: Numbers  # [B, S] which of the n
    real: Numbers  # [nodes] which of the B * c are no pads
    visible: Numbers  # [B, 1, c, S]

    @staticmethod
    def of(trees: list[tuple[int, TokenTree]]) -> "TreeBlocks[NDArray[Any]]":
        """`trees` are given with the index of their first node among the new tokens."""
        blocks = [(first, block) for first, tree in trees for block in tree.blocks]
        nodes = max(len(block.nodes) for _, block in blocks)
        seen = max(block.visible.shape[1] for _, block in blocks)
        queries = np.zeros((len(blocks), nodes), dtype=np.int64)
        keys = np.zeros((len(blocks), seen), dtype=np.int64)
        visible = np.zeros((len(blocks), nodes, seen), dtype=np.bool_)
        real = np.zeros((len(blocks), nodes), dtype=np.bool_)
        for i, (first, block) in enumerate(blocks):
            rows, columns = block.visible.shape
            queries[i, :rows] = first + np.array(block.nodes)
            keys[i, :columns] = first + np.array([*block.outside, *block.nodes])
            visible[i, :rows, :columns] = block.visible
            real[i, :rows] = True
        visible[:, :, 0] |= ~real  # a pad sees a key: a row of the softmax without any would be NaN
        return TreeBlocks(queries, keys, real.reshape(-1).nonzero()[0], visible[:, None])

    def attend(self: "TreeBlocks[Tensor]", q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """New queries, keys and values [n, heads, hd] -> [nodes, H, hd], log-sum-exp [nodes, H]"""
        padded = (x[read].transpose(1, 2) for x, read in ((q, self.queries), (k, self.keys), (v, self.keys)))
        attended, lse = attend(*padded, bias=bias_of(self.visible, q.dtype))
        return attended.transpose(1, 2).flatten(0, 1)[self.real], lse.transpose(1, 2).flatten(0, 1)[self.real]
