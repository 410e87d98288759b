"""Attention of a batch's new tokens to all tokens of their rows, most of which are in the cache.

N real tokens of a batch, of which R are the only new ones of their rows; H query heads, G key/value heads, hd
head dimension.
"""

import torch
from torch import Tensor

from model.attention.cached_groups import CachedGroups
from model.attention.decode_cpu import CpuDecode
from model.attention.decode_torch import TorchDecode
from model.attention.decode_triton import TritonDecode
from model.attention.kv_cache import KVCache, Writes
from model.attention.prefill_flash import FlashPrefill
from model.attention.prefill_torch import TorchPrefill
from model.scheduling.batch import Batch, Row


class CachedAttention:
    """Stores the new keys and values of a batch, then attends."""

    def __init__(
        self,
        cache: KVCache,
        writes: Writes,
        reads: TorchDecode | CpuDecode | TritonDecode | None,  # of the first R tokens
        spans: TorchPrefill | FlashPrefill | None = None,  # of the others
        groups: CachedGroups | None = None,  # tokens of the cache that neither of them reads
    ) -> None:
        self.cache = cache
        self.writes = writes
        self.reads = reads
        self.spans = spans
        self.groups = groups

    @classmethod
    def of(cls, cache: KVCache, batch: Batch) -> "CachedAttention":
        rows = batch.rows
        singles = next((i for i, row in enumerate(rows) if not _single(row)), len(rows))
        single, several = rows[:singles], rows[singles:]
        reads = spans = None
        if single:
            reads = _decode_of(cache, single)
        if several:
            spans = (FlashPrefill if _ragged(cache, several) else TorchPrefill)(cache, several)
        # What `reads` and `spans` leave out:
        cached = [0 if cache.fused or cache.compiled else row.shared for row in single]
        cached += [row.cached if cache.sliding_window is None else 0 for row in several]
        return cls(cache, Writes.of(cache, rows), reads, spans, CachedGroups(cache, rows, cached))

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries [N, H, hd], keys and values [N, G, hd] -> [N, H, hd]"""
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        self.writes.store(keys, k)
        self.writes.store(values, v)
        parts, singles = [], 0
        if self.reads is not None:
            singles = self.reads.num_rows
            parts.append(self.reads.attend(q[:singles], keys, values))
        if self.spans is not None:
            parts += self.spans.attend(q[singles:], k[singles:], v[singles:], keys, values)
        attended, lse = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return self.groups.merge_in(q, keys, values, attended, lse) if self.groups else attended


def _decode_of(cache: KVCache, rows: list[Row]) -> TorchDecode | CpuDecode | TritonDecode:
    if cache.fused:
        return TritonDecode.of(cache, rows)
    return CpuDecode.of(cache, rows) if cache.compiled else TorchDecode(cache, rows)


def _single(row: Row) -> bool:
    return row.length == 1 and row.is_kept


def _ragged(cache: KVCache, rows: list[Row]) -> bool:
    """Whether one call of FlashAttention computes all rows.

    With a sliding window it does not know what a tree's node sees, which depends on its depth, nor which
    cached tokens a new one sees.
    """
    windowed = cache.sliding_window is not None
    return cache.fused and not (windowed and any(row.tree.token_ids or row.cached for row in rows))
