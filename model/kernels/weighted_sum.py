"""Each token's sum of what its experts gave, times their gate weights.

N tokens, D width, K experts chosen per token.
"""

from torch import Tensor


def weighted_sum(outputs: Tensor, places: Tensor, weights: Tensor) -> Tensor:
    """Outputs [N * K, D], of which token n's are at places[n], and weights [N, K] in fp32 -> [N, D]."""
    mixed = outputs[places[:, 0]].float() * weights[:, :1]
    for k in range(1, places.shape[1]):
        mixed = mixed.addcmul(outputs[places[:, k]].float(), weights[:, k : k + 1])
    return mixed.to(outputs.dtype)
