"""From router logits to the order in which experts compute, in two Triton kernels: see `model.kernels.route`.

N tokens, E experts, K chosen per token, B blocks of tokens. A counting sort: the first kernel counts each
block's tokens of each expert, from which the second knows where a block's assignments begin.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from model.kernels.route import Routed

_COMPARISONS = 8192  # of an expert's logit with another's, that a block of tokens makes at once


def route(router_logits: Tensor, num_chosen: int) -> Routed:  # [N, E]
    assert router_logits.is_contiguous()
    tokens, experts = router_logits.shape
    of_each = router_logits.new_empty((tokens, num_chosen), dtype=torch.float32)
    chosen, places = (of_each.new_empty(of_each.shape, dtype=torch.int64) for _ in range(2))
    order = places.new_empty(tokens * num_chosen)
    if not tokens:
        return Routed(of_each, chosen, order, places, places.new_zeros(experts, dtype=torch.int32))
    padded = triton.next_power_of_2(experts)
    block = max(16, _COMPARISONS // padded**2)
    blocks = -(-tokens // block)
    counts = places.new_empty((blocks, padded), dtype=torch.int32)
    ends = places.new_empty(experts, dtype=torch.int32)
    sizes = {"K": num_chosen, "EXPERTS": experts, "PADDED": padded, "BLOCK": block}
    _choose[(blocks,)](router_logits, of_each, chosen, counts, tokens, **sizes)
    _place[(blocks,)](
        chosen, counts, order, places, ends, tokens, blocks, BLOCKS=triton.next_power_of_2(blocks), **sizes
    )
    return Routed(of_each, chosen, order, places, ends)


@triton.jit  # type: ignore[untyped-decorator]
def _choose(  # type: ignore[no-untyped-def]
    logits,
    weights,
    chosen,
    counts,
    tokens,
    K: tl.constexpr,
    EXPERTS: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """A block's experts, their weights, and how many of its tokens each expert has."""
    token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    expert = tl.arange(0, PADDED)[None, :]
    real_token = token < tokens
    real = real_token[:, None] & (expert < EXPERTS)
    found = tl.load(logits + token[:, None] * EXPERTS + expert, mask=real, other=float("-inf")).to(tl.float32)
    key = tl.where(found == found, found, float("inf"))  # what is not a number is highest, as in torch's sort
    one, other = key[:, :, None], key[:, None, :]
    earlier = tl.arange(0, PADDED)[None, None, :] < tl.arange(0, PADDED)[None, :, None]
    rank = tl.sum(((other > one) | ((other == one) & earlier)).to(tl.int32), 2)  # [BLOCK, PADDED]
    taken = (rank < K) & real
    highest = tl.max(tl.where(taken, found, float("-inf")), 1)
    share = tl.where(taken, tl.exp(found - highest[:, None]), 0.0)
    total = tl.sum(share, 1)
    for k in tl.static_range(K):
        mine = rank == k
        at = token * K + k
        tl.store(weights + at, tl.sum(tl.where(mine, share, 0.0), 1) / total, mask=real_token)
        tl.store(chosen + at, tl.sum(tl.where(mine, expert, 0), 1).to(tl.int64), mask=real_token)
    at = tl.program_id(0) * PADDED + tl.arange(0, PADDED)
    tl.store(counts + at, tl.sum(taken.to(tl.int32), 0))


@triton.jit  # type: ignore[untyped-decorator]
def _place(  # type: ignore[no-untyped-def]
    chosen,
    counts,
    order,
    places,
    ends,
    tokens,
    blocks,
    K: tl.constexpr,
    EXPERTS: tl.constexpr,
    PADDED: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
):
    """Where a block's assignments are in the order of the experts."""
    mine = tl.program_id(0)
    expert = tl.arange(0, PADDED)
    block = tl.arange(0, BLOCKS)[:, None]
    of_blocks = tl.load(counts + block * PADDED + expert[None, :], mask=block < blocks, other=0)
    of_experts = tl.sum(of_blocks, 0)
    end = tl.cumsum(of_experts, 0)
    begin = end - of_experts + tl.sum(tl.where(block < mine, of_blocks, 0), 0)  # [PADDED]
    tl.store(ends + expert, end, mask=(expert < EXPERTS) & (mine == 0))

    token = mine * BLOCK + tl.arange(0, BLOCK)
    real = token < tokens
    assigned = tl.zeros((BLOCK, PADDED), tl.int32)
    for k in tl.static_range(K):
        of_token = tl.load(chosen + token * K + k, mask=real, other=PADDED)
        assigned += (of_token[:, None] == expert[None, :]).to(tl.int32)
    place = begin[None, :] + tl.cumsum(assigned, 0) - assigned  # [BLOCK, PADDED]
    for k in tl.static_range(K):
        of_token = tl.load(chosen + token * K + k, mask=real, other=PADDED)
        at = tl.sum(tl.where(of_token[:, None] == expert[None, :], place, 0), 1).to(tl.int64)
        tl.store(places + token * K + k, at, mask=real)
        tl.store(order + at, token.to(tl.int64), mask=real)
