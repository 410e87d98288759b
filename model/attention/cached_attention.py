"""Attention of a batch's new tokens to all tokens of their rows, most of which are in the cache.

N real tokens of a batch, of which R are the only new ones of their rows; H query heads, G key/value heads, hd
head dimension.
"""

from dataclasses import dataclass
from typing import Any, Generic

import torch
from numpy.typing import NDArray
from torch import Tensor

from model.attention.cached_groups import CachedGroups
from model.attention.decode_cpu import CpuDecode
from model.attention.decode_torch import TorchDecode
from model.attention.decode_triton import TritonDecode
from model.attention.kv_cache import KVCache, writes_of
from model.attention.prefill_flash import FlashPrefill
from model.attention.prefill_torch import TorchPrefill
from model.kernels.cache_writes import LayerCache, Writes
from model.machine.to_device import Numbers
from model.scheduling.batch import Batch, Row


@dataclass(frozen=True)
class CachedAttention(Generic[Numbers]):
    """Attends, on the device, once the batch's new keys and values are stored as `writes` says."""

    kv_cache: KVCache
    writes: Writes[Numbers]
    reads: TorchDecode | CpuDecode[Numbers] | TritonDecode[Numbers] | None  # of the first R tokens
    spans: TorchPrefill | FlashPrefill[Numbers] | None = None  # of the others
    groups: CachedGroups[Numbers] | None = None  # tokens of the cache that neither of them reads

    @staticmethod
    def of(cache: KVCache, batch: Batch) -> "CachedAttention[NDArray[Any]]":
        rows = batch.rows
        singles = next((i for i, row in enumerate(rows) if not _single(row)), len(rows))
        single, several = rows[:singles], rows[singles:]
        spans: TorchPrefill | FlashPrefill[NDArray[Any]] | None = None
        if several:
            ragged = _ragged(cache, several)
            spans = FlashPrefill.of(cache, several) if ragged else TorchPrefill(cache, several)
        # What `reads` and `spans` leave out:
        in_one_kernel = cache.fused or cache.compiled
        cached = [0 if in_one_kernel or cache.window.hides(row.reach) else row.shared for row in single]
        cached += [0 if cache.window.hides(row.reach) else row.cached for row in several]
        return CachedAttention(
            cache,
            writes_of(cache, rows),
            _decode_of(cache, single) if single else None,
            spans,
            CachedGroups.of(cache, rows, cached),
        )

    def cache(self: "CachedAttention[Tensor]", layer: int) -> LayerCache:
        """Where the layer's new keys and values are to be stored before the call."""
        return LayerCache(self.kv_cache.keys[layer], self.kv_cache.values[layer], self.writes)

    def __call__(self: "CachedAttention[Tensor]", layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries [N, H, hd], keys and values [N, G, hd] -> [N, H, hd]"""
        keys, values = self.kv_cache.keys[layer], self.kv_cache.values[layer]
        parts, singles = [], 0
        if self.reads is not None:
            singles = self.reads.num_rows
            parts.append(self.reads.attend(q[:singles], keys, values))
        if self.spans is not None:
            parts += self.spans.attend(q[singles:], k[singles:], v[singles:], keys, values)
        attended, lse = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        return self.groups.merge_in(q, keys, values, attended, lse) if self.groups else attended


def _decode_of(
    cache: KVCache, rows: list[Row]
) -> TorchDecode | CpuDecode[NDArray[Any]] | TritonDecode[NDArray[Any]]:
    if cache.fused:
        return TritonDecode.of(cache, rows)
    return CpuDecode.of(cache, rows) if cache.compiled else TorchDecode(cache, rows)


def _single(row: Row) -> bool:
    return row.length == 1 and row.is_kept


def _ragged(cache: KVCache, rows: list[Row]) -> bool:
    """Whether one call of FlashAttention computes all rows.

    Where a sliding window has passed a row's first tokens it does not know what a tree's node sees, which
    depends on its depth, nor which cached tokens a new one sees.
    """
    return cache.fused and not any(
        cache.window.hides(row.reach) and (row.tree.token_ids or row.cached) for row in rows
    )
