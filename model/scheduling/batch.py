"""What one step computes: a left-padded batch, and where its rows live in the cache.

B rows, T padded length, N real tokens of all rows. A row of the batch holds the tokens that are new in this
step: a whole prompt (with a label's choices behind it) at prefill, one token at decode. Rows of both phases
may be in one batch.
"""

from dataclasses import dataclass, field
from enum import IntEnum
from itertools import chain

import numpy as np
import torch
from torch import Tensor

from model.requests.choice_tree import NO_CHOICES, ChoiceTree


class Phase(IntEnum):
    PREFILL = 0
    DECODE = 1


@dataclass(frozen=True)
class Row:
    phase: Phase
    slot: int  # the row's place in the routing buffers
    cached: int  # tokens that the cache already holds
    token_ids: list[int]  # new tokens
    pages: list[int] = field(default_factory=list)  # for cached and new tokens; none: nothing is kept
    tree: ChoiceTree = NO_CHOICES  # scored behind the new tokens, never kept
    prefix: int = 0  # shared tokens before all of these

    @property
    def length(self) -> int:
        return len(self.token_ids) + len(self.tree.token_ids)

    @property
    def trunk(self) -> int:
        """Tokens of the row itself behind the shared prefix, the new ones among them."""
        return self.cached + len(self.token_ids)


@dataclass(frozen=True)
class Batch:
    rows: list[Row]  # decoding ones first, which are computed together
    token_ids: Tensor  # [B, T]
    mask: Tensor  # [B, T]
    positions: Tensor  # [B, T]
    becomes_prefix: bool = False  # its one row is what later rows share

    @classmethod
    def of(cls, rows: list[Row], becomes_prefix: bool = False) -> "Batch":
        token_ids, mask = left_pad([row.token_ids + row.tree.token_ids for row in rows])
        positions, _ = left_pad([_positions(row) for row in rows])
        return cls(rows, token_ids, mask, positions, becomes_prefix)

    @property
    def decodes(self) -> bool:
        """Whether all its rows continue by one token."""
        return all(row.phase is Phase.DECODE for row in self.rows)

    def predicting(self) -> Tensor:
        """[M]: the real tokens whose logits are wanted: each row's last one, and every node of its tree."""
        wanted, end = [], 0
        for row in self.rows:
            end += row.length
            wanted.append(range(end - 1 - len(row.tree.token_ids), end))
        return torch.tensor([*chain.from_iterable(wanted)])


def _positions(row: Row) -> list[int]:
    start, end = row.prefix + row.cached, row.prefix + row.trunk
    return [*range(start, end), *(end + depth for depth in row.tree.depths)]


def left_pad(rows: list[list[int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Rows of token ids -> a left-padded batch and its mask, [B, T] each."""
    lengths = np.array([*map(len, rows)], dtype=np.int64)
    longest = lengths.max(initial=0)
    mask = np.arange(longest) >= (longest - lengths)[:, None]
    token_ids = np.zeros(mask.shape, dtype=np.int64)
    token_ids[mask] = [*chain.from_iterable(rows)]
    return torch.from_numpy(token_ids).to(device), torch.from_numpy(mask).to(device)
