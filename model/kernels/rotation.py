"""Rotary position embeddings (Su et al. 2021, arXiv 2104.09864), halves rotated as HF stores them.

N tokens, H query heads, G key/value heads, hd head dimension.
"""

import torch
from torch import Tensor

from model.kernels.cache_writes import LayerCache


def rotate(
    qkv: Tensor, rope: tuple[Tensor, Tensor], heads: int, kv_heads: int, into: LayerCache | None = None
) -> tuple[Tensor, Tensor]:
    """Queries, keys and values [N, H + 2 G, hd] -> rotated queries [N, H, hd] and keys [N, G, hd].

    `rope` are cosines and sines, [N, 1, hd] each. Halves (left, right) of a head become
    (left cos - right sin, right cos + left sin); the sines of the first half are negative for that.
    The rotated keys, and the values as they are, are also stored `into` the cache, if there is one.
    """
    cos, sin = rope
    x = qkv[:, : heads + kv_heads]
    rotated = torch.addcmul(x * cos, x.roll(x.shape[-1] // 2, dims=-1), sin)
    q, k = rotated.split((heads, kv_heads), dim=1)
    if into is not None:
        into.store(k, qkv[:, heads + kv_heads :])
    return q, k
