"""Attention of decoding rows to their pages of the cache, in torch's own operators, with log-sum-exp.

All rows are computed at once, a page and a key/value head being one problem of two batched multiplications;
then a row's pages are merged.

R rows with one new token each, H query heads, G key/value heads, hd head dimension, C pages that are read, P
places of a page.
"""

from itertools import chain

import numpy as np
import torch
from torch import Tensor

from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import bias_of
from model.batch import Row

_WORTH_SKIPPING = 2  # times more pages in a range than are read, from where they are gathered instead


class PagedReads:
    """One new token of each row, which is in the cache already, reads its row's pages."""

    def __init__(self, cache: KVCache, rows: list[Row]) -> None:
        size = cache.page_size
        trunks = np.array([row.trunk for row in rows])
        first_seen = np.array([cache.first_seen(row) for row in rows])
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
        self.num_rows = len(rows)
        self.which = torch.from_numpy(pages).to(cache.device)
        self.owner = torch.from_numpy(owner).to(cache.device)  # [C]
        self.queries = self.owner.clamp(max=len(rows) - 1)
        bias = bias_of(torch.from_numpy(visible).to(cache.device), torch.float32)
        self.bias = bias.repeat_interleave(cache.kv_heads, 0)[:, None]  # [C * G, 1, P]

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [R, H, hd], a layer's pages [pages, G, P, hd] -> [R, H, hd], log-sum-exp [R, H]"""
        read = self.which if self.range is None else self.range
        keys, values = keys[read], values[read]
        # The query heads of a group are the queries of one problem, so that they share one read of the keys.
        grouped = q[self.queries].unflatten(1, (keys.shape[1], -1)).flatten(0, 1)  # [C * G, H / G, hd]
        keys, values = keys.flatten(0, 1), values.flatten(0, 1)  # [C * G, P, hd]
        scale = q.shape[-1] ** -0.5
        if q.dtype is torch.float32:
            scores = torch.baddbmm(self.bias, grouped, keys.transpose(1, 2), alpha=scale)
        else:
            scores = (grouped @ keys.transpose(1, 2)).float() * scale + self.bias
        highest = scores.amax(-1)  # [C * G, H / G]
        weights = (scores - highest[..., None]).exp_()
        sums = weights.sum(-1)
        parts = (weights / sums[..., None]).to(values.dtype) @ values  # [C * G, H / G, hd]
        pages = len(self.owner)
        return self._merge(
            parts.reshape(pages, *q.shape[1:]),
            sums.reshape(pages, -1),
            highest.reshape(pages, -1),
        )

    def _merge(self, parts: Tensor, sums: Tensor, highest: Tensor) -> tuple[Tensor, Tensor]:
        """Of each page the attended values [C, H, hd], the weights' sum and the highest score [C, H].

        Weights are relative to their page's highest score, and become so to their row's.
        """
        heads = highest.shape[1]
        of_row = highest.new_full((self.num_rows + 1, heads), float("-inf"))
        of_row.scatter_reduce_(0, self.owner[:, None].expand(-1, heads), highest, "amax")
        share = sums * (highest - of_row[self.owner]).exp_()
        total = torch.zeros_like(of_row).index_add_(0, self.owner, share)
        mixed = parts.new_zeros(self.num_rows + 1, *parts.shape[1:], dtype=torch.float32)
        mixed.index_add_(0, self.owner, parts * share[..., None])
        attended = (mixed / total[..., None]).to(parts.dtype)
        return attended[: self.num_rows], (of_row + total.log())[: self.num_rows]
