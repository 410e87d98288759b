"""Whose tokens a step computes, and where they are counted.

B rows, N real tokens of a step, n of them tokens of their rows: the nodes of a tree behind a prompt are not.
A slot has counters for each phase; which ones is one number, phase * slots + slot.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from model.scheduling.batch import Batch, Phase

PREFIX_SLOT = -1  # of the prefix that rows share, behind the slots of the rows
SPARE_SLOT = -2  # of rows that only fill a captured step
SPECIAL_SLOTS = 2


@dataclass(frozen=True)
class TokenOwners:
    counters: Tensor  # [B]
    slots: Tensor  # [B]
    computed: Tensor  # [B] tokens
    tokens: Tensor  # [B] tokens that are the row's
    own: Tensor | None  # [n] which of the N those are; None: all of them
    token_counters: Tensor  # [n]
    first: Tensor  # [B] which of the n is the row's first one
    last: Tensor  # [B]
    before: Tensor  # [B] slot that knows what the token before the first one chose
    continues: Tensor  # [B] bool: there is such a token

    @classmethod
    def of(cls, batch: Batch, slots: int, device: torch.device) -> "TokenOwners":
        """With so many slots, the special ones among them."""
        rows = batch.rows
        lengths = torch.tensor([len(row.token_ids) for row in rows])
        counters = torch.tensor([row.phase * slots + row.slot % slots for row in rows])
        own = None
        if any(row.tree.token_ids for row in rows):
            real = torch.cat([torch.arange(row.length) < len(row.token_ids) for row in rows])
            own = real.nonzero()[:, 0].to(device)
        ends = lengths.cumsum(0)
        before = [PREFIX_SLOT if row.shared and not row.cached else row.slot for row in rows]
        return cls(
            counters=counters.to(device),
            slots=torch.tensor([row.slot for row in rows], device=device) % slots,
            computed=torch.tensor([row.length for row in rows], device=device),
            tokens=lengths.to(device),
            own=own,
            token_counters=counters.repeat_interleave(lengths).to(device),
            first=(ends - lengths).to(device),
            last=(ends - 1).to(device),
            before=torch.tensor(before, device=device) % slots,
            continues=torch.tensor([row.shared + row.cached > 0 for row in rows], device=device),
        )

    @classmethod
    def decoding(cls, slots: Tensor, total: int) -> "TokenOwners":
        """One new token for each of the rows in these slots [B], of `total`, on their device."""
        one, each = torch.ones_like(slots), torch.arange(len(slots), device=slots.device)
        counters = slots + Phase.DECODE * total
        return cls(counters, slots, one, one, None, counters, each, each, slots, one.bool())
