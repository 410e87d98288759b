"""Log-probabilities of a few tokens, without the logits of all of them in memory at any time.

M tokens are read, D width, V vocabulary, Q tokens are asked for.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.machine.budget import LOGITS_AT_A_TIME


def token_logprobs(
    head: Callable[[Tensor], Tensor],
    hidden: Tensor,
    asked: NDArray[np.integer[Any]],
    on_device: Tensor,
    vocab_size: int,
) -> Tensor:
    """Hidden states [M, D]; [2, Q] which of them is read, ascending, and which token is asked for there
    -> [Q] float64. NaN where any logit is NaN or infinite. `on_device` holds what `asked` holds.
    """
    size = max(1, LOGITS_AT_A_TIME // vocab_size)
    ends = np.searchsorted(asked[0], range(size, len(hidden) + size, size))
    parts, begin = [], 0
    for i, part in enumerate(hidden.split(size)):
        logits = head(part)
        highest = logits.amax(-1)
        total = (logits - highest[:, None]).exp_().sum(-1).double().log() + highest
        total = total.where(logits.sum(-1).isfinite(), float("nan"))
        read, tokens = on_device[:, begin : ends[i]]
        read = read - i * size
        parts.append(logits[read, tokens] - total[read])
        begin = ends[i]
    return torch.cat(parts)
