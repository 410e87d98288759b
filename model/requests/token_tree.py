"""Tokens that are computed behind a prompt in the same forward pass, as a tree, and never kept in the cache.

t nodes of the tree. Each node is one token. It sees all tokens of the row, its ancestors and itself; it does
not see its siblings, so that several continuations of one prompt are computed side by side.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

# Nodes whose attention to each other is one problem: it takes as many numbers as the square of this.
BLOCK_NODES = 256


@dataclass(frozen=True)
class TreeBlock:
    """Consecutive nodes of a tree, and what they see of it."""

    nodes: range
    outside: list[int]  # those of the nodes before the block that are ancestors of any node in it
    visible: NDArray[np.bool_]  # [nodes, outside + nodes]: ancestors and the node itself


@dataclass(frozen=True, eq=False)
class TokenTree:
    """Nodes may stand in any order in which each follows its parent; depth first is fastest."""

    token_ids: list[int]  # [t]
    parents: list[int]  # [t] the node before each one; -1: it stands right behind the prompt

    @cached_property
    def depths(self) -> list[int]:
        """[t] 0: right behind the prompt. A node's position is the prompt's length plus its depth."""
        depths: list[int] = []
        for parent in self.parents:
            depths.append(depths[parent] + 1 if parent >= 0 else 0)
        return depths

    @cached_property
    def depth(self) -> int:
        """Positions that the tree takes behind the prompt."""
        return max(self.depths, default=-1) + 1

    @cached_property
    def ancestors(self) -> NDArray[np.bool_]:
        """[t, t] which nodes each node sees: its ancestors and itself."""
        return self._block(range(len(self.parents))).visible

    @cached_property
    def blocks(self) -> list[TreeBlock]:
        """All nodes, so many at a time that memory grows as the tree does and not as its square.

        Depth first, no more nodes lie outside a block than the tree is deep.
        """
        nodes = range(len(self.parents))
        return [self._block(nodes[first : first + BLOCK_NODES]) for first in nodes[::BLOCK_NODES]]

    def _block(self, nodes: range) -> TreeBlock:
        outside: dict[int, int] = {}  # node -> its column
        for node in nodes:
            parent = self.parents[node]
            while 0 <= parent < nodes.start and parent not in outside:
                outside[parent] = len(outside)
                parent = self.parents[parent]
        visible = np.zeros((len(nodes), len(outside) + len(nodes)), dtype=np.bool_)
        for row, node in enumerate(nodes):
            parent = self.parents[node]
            if parent >= nodes.start:
                visible[row] = visible[parent - nodes.start]
            else:
                while parent >= 0:
                    visible[row, outside[parent]] = True
                    parent = self.parents[parent]
            visible[row, len(outside) + row] = True
        return TreeBlock(nodes, list(outside), visible)


NO_TREE = TokenTree([], [])
