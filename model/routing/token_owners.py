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

SPARE_SLOT = -1  # behind the others: of rows that only fill a captured step, and of tokens not to be counted
SPECIAL_SLOTS = 1


@dataclass(frozen=True)
class TokenOwners(Generic[Numbers]):
    counters: Numbers  # [B] phase * slots + slot
    slots: Numbers  # [B]
    sizes: Numbers  # [B, 2] tokens of the row, and how many are computed for it
    own: Numbers | None  # [n] which of the N are tokens of their rows; None: all of them
    token_counters: Numbers  # [n] each token's `counters`
    first: Numbers  # [B] which of the n is the row's first one
    last: Numbers  # [B] which of the n is the row's last one
    paired: Numbers  # [n] bool: whether there is a token before
    # Of rows that follow the last token of another slot, which may be computed in the same step: [2, b] which
    # of the n is the row's first one, and the other slot. None: there are none.
    follows: Numbers | None = None

    @staticmethod
    def of(batch: Batch, slots: int) -> "TokenOwners[NDArray[Any]]":
        """`slots` is the number of all slots, the special ones among them."""
        rows = batch.rows
        tokens = np.array([len(row.token_ids) for row in rows])
        computed = np.array([row.length for row in rows])
        of_slots = np.array([row.slot for row in rows])
        phases = np.array([row.phase for row in rows]) * slots
        counted = np.array([row.counted for row in rows])
        own = None
        if any(row.tree.token_ids for row in rows):
            place = np.arange(computed.sum()) - (computed.cumsum() - computed).repeat(computed)
            own = (place < tokens.repeat(computed)).nonzero()[0]
        ends = tokens.cumsum()
        paired = np.ones(ends[-1], dtype=np.bool_)
        paired[ends - tokens] = [row.cached > 0 for row in rows]
        follows = [
            (end - len(row.token_ids), row.follows)
            for end, row in zip(ends, rows, strict=True)
            if row.follows is not None
        ]
        return TokenOwners(
            counters=phases + of_slots,
            slots=of_slots,
            sizes=np.stack((tokens * counted, computed), axis=1),
            own=own,
            token_counters=(phases + np.where(counted, of_slots, SPARE_SLOT % slots)).repeat(tokens),
            first=ends - tokens,
            last=ends - 1,
            paired=paired,
            follows=np.array(follows).T if follows else None,
        )

    @staticmethod
    def decoding(slots: Tensor, total: int) -> "TokenOwners[Tensor]":
        """One new token for each of the rows in these slots [B], of `total`, on their device."""
        one, each = torch.ones_like(slots), torch.arange(len(slots), device=slots.device)
        counters, sizes = slots + Phase.DECODE * total, one[:, None].expand(-1, 2)
        return TokenOwners(counters, slots, sizes, None, counters, each, each, one.bool())
