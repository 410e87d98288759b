"""Attention of the nodes of trees to their ancestors and themselves, all blocks of all trees in one call.

n new tokens of the rows, H query heads, G key/value heads, hd head dimension, B blocks of c nodes at most, S
keys that a block reads at most.
"""

import numpy as np
import torch
from torch import Tensor

from model.attention.log_sum_exp import attend, bias_of
from model.requests.token_tree import TokenTree


class TreeBlocks:
    """`trees` are given with the index of their first node among the new tokens."""

    def __init__(self, trees: list[tuple[int, TokenTree]], device: torch.device) -> None:
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
        self.queries, self.keys = torch.from_numpy(queries).to(device), torch.from_numpy(keys).to(device)
        self.real = torch.from_numpy(real.reshape(-1).nonzero()[0]).to(device)  # [nodes] of the B * c
        self.visible = torch.from_numpy(visible[:, None]).to(device)  # [B, 1, c, S]

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """New queries, keys and values [n, heads, hd] -> [nodes, H, hd], log-sum-exp [nodes, H]"""
        padded = (x[read].transpose(1, 2) for x, read in ((q, self.queries), (k, self.keys), (v, self.keys)))
        attended, lse = attend(*padded, bias=bias_of(self.visible, q.dtype))
        return attended.transpose(1, 2).flatten(0, 1)[self.real], lse.transpose(1, 2).flatten(0, 1)[self.real]
