"""Attention of new tokens to tokens that the cache already holds: rows that read the same ones in one go.

N new tokens of a batch, n of a group of rows, H query heads, G key/value heads, hd head dimension, S cached
tokens that a group reads. Each new token sees all of them, so attention to them and to the row's other tokens
can be merged by log-sum-exp (Hydragen, arXiv 2402.05099, section 3).
"""

from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.attention.flash import Ragged, flash
from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import attend_tokens, merge
from model.machine.to_device import Numbers
from model.scheduling.batch import Row


@dataclass(frozen=True)
class Group(Generic[Numbers]):
    tokens: slice | Numbers  # which of the N
    places: Numbers  # [S]


@dataclass(frozen=True)
class CachedGroups(Generic[Numbers]):
    cache: KVCache
    groups: list[Group[Numbers]]
    # Of a single group of fused kernels, which has the tokens of all: how many of each there are.
    reading: Ragged[Numbers] | None
    read: Ragged[Numbers] | None

    @staticmethod
    def of(cache: KVCache, rows: list[Row], cached: list[int]) -> "CachedGroups[NDArray[Any]] | None":
        """`cached`: how many of each row's first tokens are read here. None: there are none."""
        alike: dict[tuple[int, ...], list[range]] = defaultdict(list)
        end = 0
        for row, tokens in zip(rows, cached, strict=True):
            begin, end = end, end + row.length
            if tokens:
                alike[tokens, *row.pages[: -(-tokens // cache.page_size)]].append(range(begin, end))
        if not alike:
            return None
        which = [_joined(ranges) for ranges in alike.values()]
        places = [cache.places(np.array(pages), np.arange(tokens)) for tokens, *pages in alike]
        reading = read = None
        if cache.fused:
            reading, read = Ragged.of([*map(len, which)]), Ragged.of([*map(len, places)])
            which, places = [np.concatenate(which)], [np.concatenate(places)]
        groups = [Group(_slice_or_indices(tokens), at) for tokens, at in zip(which, places, strict=True)]
        return CachedGroups(cache, groups, reading, read)

    @cached_property
    def indices(self: "CachedGroups[Tensor]") -> list[Tensor]:
        """[S, G] of each group: see KVCache.indices."""
        return [self.cache.indices(group.places) for group in self.groups]

    def merge_in(
        self: "CachedGroups[Tensor]", q: Tensor, keys: Tensor, values: Tensor, attended: Tensor, lse: Tensor
    ) -> Tensor:
        """Queries [N, H, hd], a layer's pages, attention to other tokens and its log-sum-exp -> to all."""
        for group, indices in zip(self.groups, self.indices, strict=True):
            which = group.tokens
            k, v = keys.flatten(0, 2)[indices], values.flatten(0, 2)[indices]  # [S, G, hd]
            if self.reading is not None and self.read is not None:
                cached = flash(q[which], k, v, self.reading, self.read, causal=False)
            else:
                cached = attend_tokens(q[which], k, v)
            attended[which] = merge(attended[which], lse[which], *cached)
        return attended


def _joined(ranges: list[range]) -> NDArray[Any]:
    return np.concatenate([np.arange(part.start, part.stop) for part in ranges])


def _slice_or_indices(tokens: NDArray[Any]) -> "slice | NDArray[Any]":
    """Neighbours need no copy."""
    begin, end = int(tokens[0]), int(tokens[-1]) + 1
    return slice(begin, end) if len(tokens) == end - begin else tokens
