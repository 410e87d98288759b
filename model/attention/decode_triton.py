"""Attention of decoding rows to their pages of the cache in one kernel, by a table that stays on the GPU.

R rows with one new token each, H query heads, G key/value heads, hd head dimension, P places of a page.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.attention.kv_cache import KVCache
from model.scheduling.batch import Row


@dataclass(frozen=True)
class TritonDecode:
    """Which pages the rows read: all int32, as the kernel takes them."""

    pages: Tensor  # [R, most pages of a row]
    begins: Tensor  # [R] the first of the row's tokens that its new one sees
    ends: Tensor  # [R] behind the last one

    @property
    def num_rows(self) -> int:
        return len(self.ends)

    @classmethod
    def of(cls, cache: KVCache, rows: list[Row]) -> "TritonDecode":
        pages = np.zeros((len(rows), max(len(row.pages) for row in rows)), dtype=np.int32)
        for i, row in enumerate(rows):
            pages[i, : len(row.pages)] = row.pages
        bounds = np.array([(cache.first_seen(row), row.trunk) for row in rows], dtype=np.int32)
        begins, ends = torch.from_numpy(bounds).to(cache.device).unbind(1)
        return cls(torch.from_numpy(pages).to(cache.device), begins, ends)

    def attend(self, q: Tensor, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Queries [R, H, hd], a layer's pages [pages, G, P, hd] -> [R, H, hd], log-sum-exp [R, H]"""
        # Triton comes with torch's builds for GPUs only.
        from model.attention.triton_kernel import attend_pages

        return attend_pages(q.contiguous(), keys, values, self.pages, self.begins, self.ends)
