"""What one step computes: a left-padded batch, and where its rows live in the cache.

B rows, T padded length, N real tokens of all rows. A row of the batch holds the tokens that are new in this
step: a whole prompt (with a label's choices behind it) at prefill, one token at decode.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from model.choices import ChoiceTree
from model.transformer import left_pad


class Phase(IntEnum):
    PREFILL = 0
    DECODE = 1


@dataclass(frozen=True)
class Row:
    slot: int  # the row's place in the routing buffers
    start: int  # first place of its segment in the cache
    cached: int  # tokens that the segment already holds
    token_ids: list[int]  # new tokens
    tree: ChoiceTree | None = None  # scored behind the new tokens

    @property
    def length(self) -> int:
        """New places in the cache."""
        return len(self.token_ids) + (len(self.tree) if self.tree else 0)


@dataclass(frozen=True)
class Batch:
    phase: Phase
    rows: list[Row]
    token_ids: Tensor  # [B, T]
    mask: Tensor  # [B, T]
    positions: Tensor  # [B, T]

    @classmethod
    def of(cls, phase: Phase, rows: list[Row]) -> "Batch":
        token_ids, mask = left_pad([row.token_ids + (row.tree.token_ids if row.tree else []) for row in rows])
        positions, _ = left_pad([_positions(row) for row in rows])
        return cls(phase, rows, token_ids, mask, positions)

    def cache_places(self) -> Tensor:
        """[N]: where in the cache each real token's keys and values go."""
        starts = [row.start + row.cached for row in self.rows]
        return torch.cat(
            [torch.arange(start, start + row.length) for start, row in zip(starts, self.rows, strict=True)]
        )

    def predicting(self) -> Tensor:
        """[M]: the real tokens whose logits are wanted: each row's last one, and every node of its tree."""
        wanted, end = [], 0
        for row in self.rows:
            end += row.length
            first = end - 1 - (len(row.tree) if row.tree else 0)
            wanted.append(torch.arange(first, end))
        return torch.cat(wanted)


def _positions(row: Row) -> list[int]:
    end = row.cached + len(row.token_ids)
    tree = [end + depth for depth in row.tree.depths] if row.tree else []
    return [*range(row.cached, end), *tree]
