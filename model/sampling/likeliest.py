"""The likeliest tokens in an order that is the same wherever it is computed.

M rows, V vocabulary.
"""

import torch
from torch import Tensor


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
