"""Tokens that are computed behind a prompt in the same forward pass, as a tree, and never kept in the cache.

t nodes of the tree. Each node is one token. It sees all tokens of the row, its ancestors and itself; it does
not see its siblings, so that several continuations of one prompt are computed side by side.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class TokenTree:
    token_ids: list[int]  # [t]
    # [t] 0: right behind the prompt. A node's position is the prompt's length plus its depth.
    depths: list[int]
    ancestors: NDArray[np.bool_]  # [t, t] which nodes each node sees: its ancestors and itself

    @property
    def depth(self) -> int:
        """Positions that the tree takes behind the prompt."""
        return max(self.depths, default=-1) + 1


NO_TREE = TokenTree([], [], np.zeros((0, 0), dtype=np.bool_))
