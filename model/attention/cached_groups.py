"""Attention of new tokens to tokens that the cache already holds: rows that read the same ones in one go.

N new tokens of a batch, n of a group of rows, H query heads, G key/value heads, hd head dimension, S cached
tokens that a group reads. Each new token sees all of them, so attention to them and to the row's other tokens
can be merged by log-sum-exp (Hydragen, arXiv 2402.05099, section 3).
"""

from collections import defaultdict

import numpy as np
import torch
from torch import Tensor

from model.attention.flash import Ragged, flash
from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import attend_tokens, merge
from model.scheduling.batch import Row

Which = slice | Tensor  # some of the N tokens


class CachedGroups:
    """`cached`: how many of each row's first tokens are read here."""

    def __init__(self, cache: KVCache, rows: list[Row], cached: list[int]) -> None:
        groups: dict[tuple[int, ...], list[range]] = defaultdict(list)
        end = 0
        for row, tokens in zip(rows, cached, strict=True):
            begin, end = end, end + row.length
            if tokens:
                groups[tokens, *row.pages[: -(-tokens // cache.page_size)]].append(range(begin, end))
        self.fused = cache.fused
        which = [_joined(ranges) for ranges in groups.values()]
        places = [cache.places(np.array(pages), np.arange(tokens)) for tokens, *pages in groups]
        if self.fused and groups:
            self.reading = Ragged.of([len(part) for part in which], cache.device)
            self.read = Ragged.of([len(part) for part in places], cache.device)
            which, places = [np.concatenate(which)], [np.concatenate(places)]
        self.groups: list[tuple[Which, Tensor]] = [
            (_slice_or_indices(tokens, cache.device), cache.indices(torch.from_numpy(at).to(cache.device)))
            for tokens, at in zip(which, places, strict=True)
        ]

    def __bool__(self) -> bool:
        return bool(self.groups)

    def merge_in(self, q: Tensor, keys: Tensor, values: Tensor, attended: Tensor, lse: Tensor) -> Tensor:
        """Queries [N, H, hd], a layer's pages, attention to other tokens and its log-sum-exp -> to all."""
        for which, indices in self.groups:
            k, v = keys.flatten(0, 2)[indices], values.flatten(0, 2)[indices]  # [S, G, hd]
            if self.fused:
                cached = flash(q[which], k, v, self.reading, self.read, causal=False)
            else:
                cached = attend_tokens(q[which], k, v)
            attended[which] = merge(attended[which], lse[which], *cached)
        return attended


def _joined(ranges: list[range]) -> np.ndarray:
    return np.concatenate([np.arange(part.start, part.stop) for part in ranges])


def _slice_or_indices(tokens: np.ndarray, device: torch.device) -> Which:
    """Neighbours need no copy."""
    begin, end = int(tokens[0]), int(tokens[-1]) + 1
    return slice(begin, end) if len(tokens) == end - begin else torch.from_numpy(tokens).to(device)
