"""Attention of decoding rows to their pages of the cache, in torch's own operators, with log-sum-exp.

All rows are computed at once, a page being one problem of a batched kernel; a row's pages are merged by their
log-sum-exp.

R rows with one new token each, H query heads, G key/value heads, hd head dimension, C pages that are read, P
places of a page.
"""

from itertools import chain

import numpy as np
import torch
from torch import Tensor

from model.attention_kernel import attend, bias_of
from model.batch import Row
from model.kv_cache import KVCache

_WORTH_SKIPPING = 2  # times more pages in a range than are read, from where they are gathered instead


class PagedReads:
    """One new token of each row, which is in the cache already, reads its row's pages."""

    def __init__(self, cache: KVCache, rows: list[Row]) -> None:
        size, window = cache.page_size, cache.sliding_window
        trunks = np.array([row.trunk for row in rows])
        first_seen = np.maximum(trunks - window, 0) if window else np.zeros_like(trunks)
        ends = -(-trunks // size)
        begins = first_seen // size
        counts = ends - begins
        owner = np.arange(len(rows)).repeat(counts)
        pages = np.fromiter(
            chain.from_iterable(
                row.pages[begin:end] for row, begin, end in zip(rows, begins, ends, strict=True)
            ),
            dtype=np.int64,
            count=len(owner),
        )
        starts = (begins[owner] + np.arange(len(owner)) - (counts.cumsum() - counts)[owner]) * size
        low, high = pages.min(), pages.max() + 1
        self.range: slice | None = None
        if high - low <= _WORTH_SKIPPING * len(pages):
            # Pages of others in between are computed too, for a row behind the last one.
            self.range = slice(int(low), int(high))
            order = np.full(high - low, len(pages))
            order[pages - low] = np.arange(len(pages))
            owner, starts = np.append(owner, len(rows))[order], np.append(starts, 0)[order]
        bounds = np.append(first_seen, 0)[owner] - starts, np.append(trunks, size)[owner] - starts
        place = np.arange(size)
        visible = (place >= bounds[0][:, None]) & (place < bounds[1][:, None])  # [C, P]
        self.rows = len(rows)
        self.which = torch.from_numpy(pages).to(cache.device)
        self.owner = torch.from_numpy(owner).to(cache.device)  # [C]
        self.queries = self.owner.clamp(max=len(rows) - 1)
        bias = bias_of(torch.from_numpy(visible).to(cache.device), cache.keys[0].dtype)
        self.bias = bias[:, None, None]  # [C, 1, 1, P]

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [R, H, hd], a layer's pages [pages, P, G, hd] -> [R, H, hd], log-sum-exp [R, H]"""
        if self.range is not None:
            keys, values = keys[self.range], values[self.range]
        else:
            keys, values = keys[self.which], values[self.which]
        kv_heads = keys.shape[2]
        # The query heads of a group are the queries of one problem, so that they share one read of the keys.
        grouped = q[self.queries].unflatten(1, (kv_heads, -1))  # [C, G, H / G, hd]
        bias = self.bias.expand(-1, -1, grouped.shape[2], -1)
        parts, lse = attend(grouped, keys.transpose(1, 2), values.transpose(1, 2), bias=bias)
        return self._merge(parts.flatten(1, 2), lse.flatten(1, 2))

    def _merge(self, parts: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
        """Parts [C, H, hd] and their log-sum-exp [C, H] -> the same of each row, over all its parts."""
        heads = lse.shape[1]
        highest = lse.new_full((self.rows + 1, heads), float("-inf"))
        highest.scatter_reduce_(0, self.owner[:, None].expand(-1, heads), lse, "amax")
        weights = (lse - highest[self.owner]).exp()
        total = torch.zeros_like(highest).index_add_(0, self.owner, weights)
        weighted = parts.new_zeros(self.rows + 1, *parts.shape[1:], dtype=torch.float32)
        weighted.index_add_(0, self.owner, parts * weights[..., None])
        merged = (weighted / total[..., None]).to(parts.dtype)
        return merged[: self.rows], (highest + total.log())[: self.rows]
