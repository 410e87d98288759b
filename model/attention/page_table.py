"""Where the rows of a step find the tokens that their new ones see, as tensors that fused kernels read.

R rows with one new token each.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from model.attention.kv_cache import KVCache
from model.scheduling.batch import Row


@dataclass(frozen=True)
class PageTable:
    """Which pages the rows read, as int32 tensors on the cache's device."""

    pages: Tensor  # [R, most pages of a row]
    begins: Tensor  # [R] the first of the row's tokens that its new one sees
    ends: Tensor  # [R] behind the last one

    @property
    def num_rows(self) -> int:
        return len(self.ends)

    @classmethod
    def of(cls, cache: KVCache, rows: list[Row]) -> Self:
        pages = np.zeros((len(rows), max(len(row.pages) for row in rows)), dtype=np.int32)
        for i, row in enumerate(rows):
            pages[i, : len(row.pages)] = row.pages
        bounds = np.array([(cache.first_seen(row), row.trunk) for row in rows], dtype=np.int32)
        begins, ends = torch.from_numpy(bounds).to(cache.device).unbind(1)
        return cls(torch.from_numpy(pages).to(cache.device), begins, ends)
