"""What one step computes: a left-padded batch, and where its rows live in the cache.

B rows, T padded length, N real tokens of all rows. A row of the batch holds the tokens that are new in this
step: a whole prompt (with a label's choices behind it) at prefill, one token at decode.
"""

from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from model.choices import NO_CHOICES, ChoiceTree


class Phase(IntEnum):
    PREFILL = 0
    DECODE = 1


@dataclass(frozen=True)
class Row:
    slot: int  # the row's place in the routing buffers
    start: int  # first place of its segment in the cache
    cached: int  # tokens that the segment already holds
    token_ids: list[int]  # new tokens
    tree: ChoiceTree = NO_CHOICES  # scored behind the new tokens

    @property
    def length(self) -> int:
        """New places in the cache."""
        return len(self.token_ids) + len(self.tree.token_ids)


@dataclass(frozen=True)
class Batch:
    phase: Phase
    rows: list[Row]
    token_ids: Tensor  # [B, T]
    mask: Tensor  # [B, T]
    positions: Tensor  # [B, T]

    @classmethod
    def of(cls, phase: Phase, rows: list[Row]) -> "Batch":
        token_ids, mask = left_pad([row.token_ids + row.tree.token_ids for row in rows])
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
            first = end - 1 - len(row.tree.token_ids)
            wanted.append(torch.arange(first, end))
        return torch.cat(wanted)


def _positions(row: Row) -> list[int]:
    end = row.cached + len(row.token_ids)
    return [*range(row.cached, end), *(end + depth for depth in row.tree.depths)]


def left_pad(rows: list[list[int]], device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Rows of token ids -> a left-padded batch and its mask, [B, T] each."""
    shape = len(rows), max(map(len, rows), default=0)
    pads = [shape[1] - len(row) for row in rows]
    padded = [[0] * pad + row for pad, row in zip(pads, rows, strict=True)]
    token_ids = torch.tensor(padded, dtype=torch.int64)
    mask = torch.arange(shape[1]) >= torch.tensor(pads, dtype=torch.int64)[:, None]
    return token_ids.view(shape).to(device), mask.to(device)
