"""To which row each token of a step belongs, and which counters it goes to.

B rows, N real tokens of a step, n of them tokens of their rows: the nodes of a tree behind a prompt are not.
A slot has counters for each phase; which ones is one number, phase * slots + slot.
"""

from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.machine.to_device import Numbers
from model.scheduling.batch import Batch, Phase

PREFIX_SLOT = -1  # of the prefix that rows share, behind the slots of the rows
SPARE_SLOT = -2  # of rows that only fill a captured step
SPECIAL_SLOTS = 2


@dataclass(frozen=True)
class TokenOwners(Generic[Numbers]):
    counters: Numbers  # [B] phase * slots + slot
    slots: Numbers  # [B]
    sizes: Numbers  # [B, 2] tokens of the row, and how many are computed for it
    own: Numbers | None  # [n] which of the N are tokens of their rows; None: all of them
    token_counters: Numbers  # [n] each token's `counters`
    first: Numbers  # [B] which of the n is the row's first one
    last: Numbers  # [B] which of the n is the row's last one
    before: Numbers  # [B] the slot of the token before the row's first one: the row's own, or the prefix's
    paired: Numbers  # [n] bool: whether there is a token before

    @staticmethod
    def of(batch: Batch, slots: int) -> "TokenOwners[NDArray[Any]]":
        """`slots` is the number of all slots, the special ones among them."""
        rows = batch.rows
        tokens = np.array([len(row.token_ids) for row in rows])
        computed = np.array([row.length for row in rows])
        own_slots = np.array([row.slot for row in rows]) % slots
        counters = np.array([row.phase for row in rows]) * slots + own_slots
        before = [PREFIX_SLOT if row.shared and not row.cached else row.slot for row in rows]
        own = None
        if any(row.tree.token_ids for row in rows):
            place = np.arange(computed.sum()) - (computed.cumsum() - computed).repeat(computed)
            own = (place < tokens.repeat(computed)).nonzero()[0]
        ends = tokens.cumsum()
        paired = np.ones(ends[-1], dtype=np.bool_)
        paired[ends - tokens] = [row.shared + row.cached > 0 for row in rows]
        return TokenOwners(
            counters=counters,
            slots=own_slots,
            sizes=np.stack((tokens, computed), axis=1),
            own=own,
            token_counters=counters.repeat(tokens),
            first=ends - tokens,
            last=ends - 1,
            before=np.array(before) % slots,
            paired=paired,
        )

    @staticmethod
    def decoding(slots: Tensor, total: int) -> "TokenOwners[Tensor]":
        """One new token for each of the rows in these slots [B], of `total`, on their device."""
        one, each = torch.ones_like(slots), torch.arange(len(slots), device=slots.device)
        counters, sizes = slots + Phase.DECODE * total, one[:, None].expand(-1, 2)
        return TokenOwners(counters, slots, sizes, None, counters, each, each, slots, one.bool())
