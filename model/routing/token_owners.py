"""Whose tokens a step computes, and where they are counted.

B rows, N real tokens of a step, n of them tokens of their rows: the nodes of a tree behind a prompt are not.
A place is a phase and a slot in one number.
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
    places: Tensor  # [B]
    slots: Tensor  # [B]
    computed: Tensor  # [B] tokens
    tokens: Tensor  # [B] tokens that are the row's
    own: Tensor | None  # [n] which of the N those are; None: all of them
    token_places: Tensor  # [n]
    first: Tensor  # [B] which of the n is the row's first one
    last: Tensor  # [B]
    before: Tensor  # [B] slot that knows what the token before the first one chose
    continues: Tensor  # [B] bool: there is such a token

    @classmethod
    def of(cls, batch: Batch, slots: int, device: torch.device) -> "TokenOwners":
        """With so many slots, the special ones among them."""
        rows = batch.rows
        lengths = torch.tensor([len(row.token_ids) for row in rows])
        places = torch.tensor([row.phase * slots + row.slot % slots for row in rows])
        own = None
        if any(row.tree.token_ids for row in rows):
            real = torch.cat([torch.arange(row.length) < len(row.token_ids) for row in rows])
            own = real.nonzero()[:, 0].to(device)
        ends = lengths.cumsum(0)
        before = [PREFIX_SLOT if row.prefix and not row.cached else row.slot for row in rows]
        return cls(
            places=places.to(device),
            slots=torch.tensor([row.slot for row in rows], device=device) % slots,
            computed=torch.tensor([row.length for row in rows], device=device),
            tokens=lengths.to(device),
            own=own,
            token_places=places.repeat_interleave(lengths).to(device),
            first=(ends - lengths).to(device),
            last=(ends - 1).to(device),
            before=torch.tensor(before, device=device) % slots,
            continues=torch.tensor([row.prefix + row.cached > 0 for row in rows], device=device),
        )

    @classmethod
    def decoding(cls, slots: Tensor, total: int) -> "TokenOwners":
        """One new token for each of the rows in these slots [B], of `total`, on their device."""
        one, each = torch.ones_like(slots), torch.arange(len(slots), device=slots.device)
        places = slots + Phase.DECODE * total
        return cls(places, slots, one, one, None, places, each, each, slots, one.bool())
