"""RMSNorm of a sum: x / rms(x) * weight (Zhang and Sennrich 2019, arXiv 1910.07467).

N tokens, D width.
"""

from torch import Tensor
from torch.nn import functional as F


def add_norm(x: Tensor, update: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x and its update [N, D] -> x + update, and that normalised; x itself if there is no update.

    The mean is taken in fp32. The result has x's number type before it is multiplied by the weight, as
    transformers computes it.
    """
    if update is not None:
        x = x + update
    normed = F.rms_norm(x.float(), weight.shape, None, eps).to(x.dtype)
    return x, weight * normed
