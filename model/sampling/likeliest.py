"""The likeliest tokens in an order that is the same wherever it is computed.

M rows, V vocabulary.
"""

import math

import torch
from torch import Tensor

_BLOCK = 128  # logits of which the largest is found first, and then where it is


def likeliest_one(logits: Tensor) -> Tensor:
    """Logits [M, V] -> each row's likeliest token [M], and of equal ones the lowest."""
    block = math.gcd(logits.shape[1], _BLOCK)
    if logits.device.type != "cpu" or block < _BLOCK:
        return logits.max(-1).indices
    # On CPUs torch finds the largest number by vectors, but its place one number after the other.
    blocks = logits.unflatten(-1, (-1, block))  # [M, V / 128, 128]
    of_row = blocks.amax(-1).max(-1).indices  # [M]
    within = blocks[torch.arange(len(blocks)), of_row].max(-1).indices
    tokens: Tensor = of_row * block + within
    return tokens


def likeliest(logits: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Logits [M, V], in float32 at most -> the `count` largest and their tokens, descending, [M, count].

    Of equal ones the lower token comes first.
    """
    vocabulary = logits.shape[1]
    if count >= vocabulary:
        values, tokens = logits.sort(dim=-1, descending=True, stable=True)
        return values, tokens
    # torch.topk takes equal numbers in any order. So the token becomes a part of the number: above it the
    # logit as an integer, since the bits of floats are in the order of their values, and of negative ones in
    # the opposite order. Zeros are added to make one number of both zeros.
    bits = (logits.float() + 0.0).view(torch.int32)
    ordered = (bits >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits).long()
    behind = torch.arange(vocabulary - 1, -1, -1, device=logits.device)
    tokens = ordered.bitwise_left_shift_(32).bitwise_or_(behind).topk(count, dim=-1).indices
    return logits.gather(-1, tokens), tokens
