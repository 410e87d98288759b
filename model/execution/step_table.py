"""All that a step needs on the device: it goes there in one copy.

B rows, N tokens of a step, M of which are read under one head, Q tokens that are asked for.
"""

from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray

from model.attention.cached_attention import CachedAttention
from model.attention.kv_cache import KVCache
from model.machine.to_device import Numbers
from model.requests.readout import Head
from model.routing.token_owners import TokenOwners
from model.scheduling.batch import Batch


@dataclass(frozen=True)
class StepTable(Generic[Numbers]):
    token_ids: Numbers  # [N]
    positions: Numbers  # [N]
    lengths: Numbers | None  # [N] of the tokens' rows, where the network asks for them
    reads: dict[Head, Numbers]  # [M] each: see Batch.reads
    asked: Numbers | None  # [2, Q], where rows ask for log-probabilities: see Batch.asked
    attend: CachedAttention[Numbers]
    owners: TokenOwners[Numbers] | None  # where the routing is counted

    @staticmethod
    def of(
        batch: Batch, cache: KVCache, slots: int | None, lengths: bool = False
    ) -> "StepTable[NDArray[Any]]":
        """`slots`: how many there are for counting; None: nothing is counted."""
        return StepTable(
            token_ids=batch.token_ids,
            positions=batch.positions,
            lengths=batch.wholes if lengths else None,
            reads={head: batch.reads(head) for head in batch.heads},
            asked=batch.asked.astype(np.int32) if Head.LOGPROBS in batch.heads else None,
            attend=CachedAttention.of(cache, batch),
            owners=None if slots is None else TokenOwners.of(batch, slots),
        )
