"""To which row each token of a step belongs, and which counters it goes to.

B rows, N real tokens of a step, n of them tokens of their rows: the nodes of a tree behind a prompt are not.
A slot has counters for each phase; which ones is one number, phase * slots + slot.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.scheduling.batch import Batch, Phase

SPARE_SLOT = -1  # behind the others: of rows that only fill a captured step, and of tokens not to be counted
SPECIAL_SLOTS = 1


@dataclass(frozen=True)
class TokenOwners:
    counters: Tensor  # [B] phase * slots + slot
    slots: Tensor  # [B]
    computed: Tensor  # [B] tokens that are computed for the row
    tokens: Tensor  # [B] those of them that are tokens of the row
    own: Tensor | None  # [n] which of the N are tokens of their rows; None: all of them
    token_counters: Tensor  # [n] each token's `counters`
    first: Tensor  # [B] which of the n is the row's first one
    last: Tensor  # [B] which of the n is the row's last one
    continues: Tensor  # [B] bool: whether there is a token before the row's first one
    # Of rows that follow the last token of another slot, which may be computed in the same step:
    follows: tuple[Tensor, Tensor] | None = None  # [b] which of the B, and the other slot; None: there are none

    @classmethod
    def of(cls, batch: Batch, slots: int, device: torch.device) -> "TokenOwners":
        """`slots` is the number of all slots, the special ones among them."""
        rows = batch.rows
        lengths = torch.tensor([len(row.token_ids) for row in rows])
        counters = torch.tensor([row.phase * slots + row.slot for row in rows])
        own = None
        if any(row.tree.token_ids for row in rows):
            real = torch.cat([torch.arange(row.length) < len(row.token_ids) for row in rows])
            own = real.nonzero()[:, 0].to(device)
        ends = lengths.cumsum(0)
        spare = SPARE_SLOT % slots
        of_tokens = torch.tensor([row.phase * slots + (row.slot if row.counted else spare) for row in rows])
        follows = [(i, row.follows) for i, row in enumerate(rows) if row.follows is not None]
        return cls(
            counters=counters.to(device),
            slots=torch.tensor([row.slot for row in rows], device=device),
            computed=torch.tensor([row.length for row in rows], device=device),
            tokens=torch.tensor([len(row.token_ids) if row.counted else 0 for row in rows], device=device),
            own=own,
            token_counters=of_tokens.repeat_interleave(lengths).to(device),
            first=(ends - lengths).to(device),
            last=(ends - 1).to(device),
            continues=torch.tensor([row.cached > 0 for row in rows], device=device),
            follows=tuple(torch.tensor(follows, device=device).unbind(1)) if follows else None,
        )

    @classmethod
    def decoding(cls, slots: Tensor, total: int) -> "TokenOwners":
        """One new token for each of the rows in these slots [B], of `total`, on their device."""
        one, each = torch.ones_like(slots), torch.arange(len(slots), device=slots.device)
        counters = slots + Phase.DECODE * total
        return cls(counters, slots, one, one, None, counters, each, each, one.bool())
