"""Attention of a batch's new tokens to all tokens of their rows, most of which are in the cache.

N real tokens of a batch, of which R are the only new ones of their rows; H query heads, G key/value heads, hd
head dimension.
"""

import torch
from torch import Tensor

from model.attention.decode_cpu import CpuDecode
from model.attention.decode_torch import TorchDecode
from model.attention.decode_triton import TritonDecode
from model.attention.flash import flash_to_all
from model.attention.kv_cache import KVCache, Writes
from model.attention.log_sum_exp import attend_tokens, merge
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
        prefixed: Tensor | None = None,
        becomes_prefix: bool = False,
    ) -> None:
        self.cache = cache
        self.writes = writes
        self.reads = reads
        self.spans = spans
        # Which tokens attend to the shared prefix: indices or, in captured steps, whose shapes are fixed, a
        # mask [N]. None: no token does.
        self.prefixed = prefixed
        self.becomes_prefix = becomes_prefix

    @classmethod
    def of(cls, cache: KVCache, batch: Batch) -> "CachedAttention":
        rows = batch.rows
        singles = next((i for i, row in enumerate(rows) if not _single(row)), len(rows))
        single, several = rows[:singles], rows[singles:]
        reads = spans = prefixed = None
        if single:
            reads = _decode_of(cache, single)
        if several:
            spans = (FlashPrefill if _ragged(cache, several) else TorchPrefill)(cache, several)
        if any(row.shared for row in rows):
            lengths = torch.tensor([row.length for row in rows])
            mask = torch.tensor([row.shared > 0 for row in rows]).repeat_interleave(lengths)
            prefixed = mask.nonzero()[:, 0].to(cache.device)
        return cls(cache, Writes.of(cache, rows), reads, spans, prefixed, batch.becomes_prefix)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Queries [N, H, hd], keys and values [N, G, hd] -> [N, H, hd]"""
        keys, values = self.cache.keys[layer], self.cache.values[layer]
        self.writes.store(keys, k)
        self.writes.store(values, v)
        if self.becomes_prefix:
            assert layer == len(self.cache.shared)
            self.cache.shared.append((_heads_together(k), _heads_together(v)))
        parts, singles = [], 0
        if self.reads is not None:
            singles = self.reads.num_rows
            parts.append(self.reads.attend(q[:singles], keys, values))
        if self.spans is not None:
            parts += self.spans.attend(q[singles:], k[singles:], v[singles:], keys, values)
        attended, lse = parts[0] if len(parts) == 1 else map(torch.cat, zip(*parts, strict=True))
        if self.prefixed is None:
            return attended
        return self._with_prefix(layer, self.prefixed, q, attended, lse)

    def _with_prefix(self, layer: int, prefixed: Tensor, q: Tensor, attended: Tensor, lse: Tensor) -> Tensor:
        """Merge in the attention to the prefix, which is read once for all rows that have it."""
        shared = self.cache.shared[layer]
        attend = flash_to_all if self.cache.fused else attend_tokens
        if prefixed.dtype is torch.bool:
            merged = merge(attended, lse, *attend(q, *shared))
            return torch.where(prefixed[:, None, None], merged, attended)
        if len(prefixed) == len(q):
            return merge(attended, lse, *attend(q, *shared))
        merged = merge(attended[prefixed], lse[prefixed], *attend(q[prefixed], *shared))
        return attended.index_copy(0, prefixed, merged)


def _decode_of(cache: KVCache, rows: list[Row]) -> TorchDecode | CpuDecode | TritonDecode:
    if cache.fused:
        return TritonDecode.of(cache, rows)
    if cache.device.type == "cpu" and CpuDecode.is_compiled():
        return CpuDecode.of(cache, rows)
    return TorchDecode(cache, rows)


def _single(row: Row) -> bool:
    return row.length == 1 and bool(row.pages)


def _ragged(cache: KVCache, rows: list[Row]) -> bool:
    """Whether one call of FlashAttention computes all rows.

    No row may have cached tokens. With a sliding window none may have a tree: what a node sees then depends
    on its depth.
    """
    windowed_tree = cache.sliding_window is not None and any(row.tree.token_ids for row in rows)
    return cache.fused and not windowed_tree and not any(row.cached for row in rows)


def _heads_together(x: Tensor) -> Tensor:
    """[S, G, hd] -> the same, with the tokens of each head side by side in memory."""
    return x.transpose(0, 1).contiguous().transpose(0, 1)
