"""Attention of decoding rows to their pages of the cache, in torch's own operators, with log-sum-exp.

All rows are computed at once: each page of each key/value head is one problem of two batched multiplications.
A row's softmax weights are relative to the highest score in all of its pages, so that the results of its
pages can be added up.

R rows with one new token each, H query heads, G key/value heads, hd head dimension, C pages that are read, P
places of a page.
"""

from itertools import chain

import numpy as np
import torch
from torch import Tensor

from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import bias_of
from model.scheduling.batch import Row

# If the range of pages from the lowest that is read to the highest holds at most so many times the pages that
# are read, all of the range is multiplied in place. Otherwise the pages that are read are gathered first.
_LARGEST_RANGE = 2


class TorchDecode:
    """One new token of each row, which is in the cache already, reads its row's own pages."""

    def __init__(self, cache: KVCache, rows: list[Row]) -> None:
        size = cache.page_size
        trunks = np.array([row.trunk for row in rows])
        # What rows share is read apart: see CachedGroups.
        first_seen = np.array(
            [
                cache.window.first_seen(row.trunk) if cache.window.hides(row.reach) else row.shared
                for row in rows
            ]
        )
        ends = -(-trunks // size)
        begins = first_seen // size
        counts = ends - begins
        owner = np.arange(len(rows)).repeat(counts)
        pages = np.fromiter(
            chain.from_iterable(
                row.pages[begin - row.passed : end - row.passed]
                for row, begin, end in zip(rows, begins, ends, strict=True)
            ),
            dtype=np.int64,
            count=len(owner),
        )
        starts = (begins[owner] + np.arange(len(owner)) - (counts.cumsum() - counts)[owner]) * size
        low, high = pages.min(), pages.max() + 1
        self.range: slice | None = None
        if high - low <= _LARGEST_RANGE * len(pages):
            # Pages in between that belong to other rows are computed, too. Row R collects and drops them.
            self.range = slice(int(low), int(high))
            order = np.full(high - low, len(pages))
            order[pages - low] = np.arange(len(pages))
            owner, starts = np.append(owner, len(rows))[order], np.append(starts, 0)[order]
        bounds = np.append(first_seen, 0)[owner] - starts, np.append(trunks, size)[owner] - starts
        place = np.arange(size)
        visible = (place >= bounds[0][:, None]) & (place < bounds[1][:, None])  # [C, P]
        self.num_rows = len(rows)
        self.which = torch.from_numpy(pages).to(cache.device)
        self.owner = torch.from_numpy(owner).to(cache.device)  # [C]
        self.queries = self.owner.clamp(max=len(rows) - 1)
        bias = bias_of(torch.from_numpy(visible).to(cache.device), torch.float32)
        self.bias = bias.repeat_interleave(cache.kv_heads, 0)[:, None]  # [C * G, 1, P]

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [R, H, hd], a layer's pages [pages, G, P, hd] -> [R, H, hd], log-sum-exp [R, H]"""
        read = self.which if self.range is None else self.range
        keys, values = keys[read].flatten(0, 1), values[read].flatten(0, 1)  # [C * G, P, hd]
        pages, heads = len(self.owner), q.shape[1]
        # The query heads of a group are the queries of one problem, so that they share one read of the keys.
        grouped = q[self.queries].view(len(keys), -1, q.shape[2])  # [C * G, H / G, hd]
        scale = q.shape[2] ** -0.5
        if q.dtype is torch.float32:
            scores = torch.baddbmm(self.bias, grouped, keys.transpose(1, 2), alpha=scale)
        else:
            scores = (grouped @ keys.transpose(1, 2)).float() * scale + self.bias
        highest = self._highest_of_rows(scores.amax(-1).view(pages, heads))  # [R + 1, H]
        weights = scores.sub_(highest[self.owner].view(len(keys), -1, 1)).exp_()  # [C * G, H / G, P]
        total = self._sum_of_rows(weights.sum(-1).view(pages, heads))  # [R + 1, H]
        # Divided first, so that no sum of values is larger than the largest value: float16 ends at 65,504.
        weights = weights.div_(total[self.owner].view(len(keys), -1, 1)).to(values.dtype)
        attended = self._sum_of_rows((weights @ values).view(pages, *q.shape[1:]).float())
        return attended[: self.num_rows].to(q.dtype), (highest + total.log())[: self.num_rows]

    def _highest_of_rows(self, scores: Tensor) -> Tensor:
        """Highest scores of the pages [C, H] -> of the rows [R + 1, H]."""
        lowest = scores.new_full((self.num_rows + 1, scores.shape[1]), float("-inf"))
        return lowest.scatter_reduce_(0, self.owner[:, None].expand_as(scores), scores, "amax")

    def _sum_of_rows(self, parts: Tensor) -> Tensor:  # [C, ...] -> [R + 1, ...]
        zeros = parts.new_zeros(self.num_rows + 1, *parts.shape[1:])
        return zeros.index_add_(0, self.owner, parts)
