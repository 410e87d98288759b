"""Attention of a batch's new tokens to all tokens of their rows, most of which are in the cache.

Decoding rows are computed all at once, a page of the cache being one problem of a batched kernel; a row's
pages are merged by their log-sum-exp. Rows with several new tokens are computed one by one: their work is
enough to fill the machine.

N real tokens of a batch, H query heads, G key/value heads, hd head dimension, C pages that are read, P places
of a page.
"""

from itertools import chain

import numpy as np
import torch
from torch import Tensor

from model.attention_kernel import attend, bias_of
from model.batch import Batch, Row
from model.choices import ChoiceTree
from model.kv_cache import KVCache, Writes

_WORTH_SKIPPING = 2  # times more pages in a range than are read, from where they are gathered instead


class CachedAttention:
    """Stores the new keys and values of a batch, then attends."""

    def __init__(self, cache: KVCache, batch: Batch) -> None:
        rows = batch.rows
        self.cache = cache
        self.writes = Writes(cache, rows)
        self.singles = next((i for i, row in enumerate(rows) if not _single(row)), len(rows))
        self.pages = PagedReads(cache, rows[: self.singles]) if self.singles else None
        self.spans = [Span(cache, row) for row in rows[self.singles :]]
        self.becomes_prefix = batch.becomes_prefix
        self.sharing: Tensor | None = None  # [N] which tokens' rows have the prefix
        if any(row.prefix for row in rows):
            lengths = torch.tensor([row.length for row in rows])
            shares = torch.tensor([row.prefix > 0 for row in rows]).repeat_interleave(lengths)
            self.sharing = shares.nonzero()[:, 0].to(cache.device)

    def __call__(
        self, layer: int, q: Tensor, k: Tensor, v: Tensor
    ) -> Tensor:  # q [N, H, hd], k and v [N, G, hd]
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        self.writes.store(keys, k)
        self.writes.store(values, v)
        if self.becomes_prefix:
            assert layer == len(self.cache.prefix)
            self.cache.prefix.append((_as_heads(k).contiguous(), _as_heads(v).contiguous()))
        attended = torch.empty_like(q)
        lse = torch.empty(q.shape[:2], dtype=torch.float32, device=q.device)
        if self.pages is not None:
            ours = slice(0, self.singles)
            attended[ours], lse[ours] = self.pages.attend(q[ours], keys, values)
        start = self.singles
        for span in self.spans:
            ours = slice(start, start + span.length)
            attended[ours], lse[ours] = span.attend(q[ours], k[ours], v[ours], keys, values)
            start = ours.stop
        if self.sharing is not None:
            self._add_prefix(layer, q, attended, lse)
        return attended

    def _add_prefix(self, layer: int, q: Tensor, attended: Tensor, lse: Tensor) -> None:
        """Merge in the attention of all rows to their common prefix, which is read once for all of them."""
        sharing = self.sharing if self.sharing is not None and len(self.sharing) < len(q) else slice(None)
        shared, shared_lse = attend(_as_heads(q[sharing]), *self.cache.prefix[layer])
        own = torch.sigmoid(lse[sharing] - shared_lse[0].T)[..., None]  # its share of all the attention
        attended[sharing] = torch.lerp(_as_tokens(shared), attended[sharing], own.to(attended.dtype))


def _as_heads(x: Tensor) -> Tensor:  # [n, heads, hd] -> [1, heads, n, hd]
    return x.transpose(0, 1)[None]


def _as_tokens(x: Tensor) -> Tensor:  # [1, heads, n, hd] -> [n, heads, hd]
    return x[0].transpose(0, 1)


def _single(row: Row) -> bool:
    return row.length == 1 and bool(row.pages)


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
        """Queries [rows, H, hd], a layer's pages [pages, P, G, hd] -> [rows, H, hd], log-sum-exp [rows, H]"""
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


class Span:
    """The new tokens of one row, and its tree's nodes, read the row's cached tokens and each other."""

    def __init__(self, cache: KVCache, row: Row) -> None:
        size, window = cache.page_size, cache.sliding_window
        self.length = row.length
        self.cached: Tensor | None = None
        if row.cached:
            place = np.arange(row.cached)
            places = np.array(row.pages)[place // size] * size + place % size
            self.cached = torch.from_numpy(places).to(cache.device)
        self.causal = not row.cached and not row.tree.token_ids and row.trunk <= (window or row.trunk)
        self.bias: Tensor | None = None
        if not self.causal:
            visible = _visible(row.cached, row.trunk, row.tree, window)
            self.bias = bias_of(visible.to(cache.device), cache.keys[0].dtype)[None, None]

    def attend(self, q: Tensor, k: Tensor, v: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """New queries, keys and values [n, heads, hd], the layer's pages -> [n, H, hd], log-sum-exp [n, H]"""
        if self.cached is not None:
            k = torch.cat((keys.flatten(0, 1)[self.cached], k))
            v = torch.cat((values.flatten(0, 1)[self.cached], v))
        attended, lse = attend(_as_heads(q), _as_heads(k), _as_heads(v), causal=self.causal, bias=self.bias)
        return _as_tokens(attended), lse[0].T


def _visible(cached: int, trunk: int, tree: ChoiceTree, window: int | None) -> Tensor:
    """[n, S] bool: a new token sees the row's tokens up to itself, or the last `window` of them.

    A node of the tree sees the row's tokens and its own ancestors.
    """
    nodes = len(tree.token_ids)
    place = torch.cat((torch.arange(trunk), trunk + torch.tensor(tree.depths, dtype=torch.int64)))
    distance = place[cached:, None] - place[None, :]
    seen = distance >= 0
    seen[len(seen) - nodes :, trunk:] = tree.ancestors
    seen[: len(seen) - nodes, trunk:] = False
    return seen & (distance < (window or trunk + nodes + 1))
