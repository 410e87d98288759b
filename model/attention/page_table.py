"""Where the rows of a step find the tokens that their new ones see: a table that fused kernels read.

R rows with one new token each.
"""

from dataclasses import dataclass
from typing import Any, Generic, Self

import numpy as np

from model.attention.kv_cache import KVCache
from model.machine.to_device import Numbers
from model.scheduling.batch import Row


@dataclass(frozen=True)
class PageTable(Generic[Numbers]):
    """Which pages the rows read, in int32."""

    pages: Numbers  # [R, most pages of a row]
    begins: Numbers  # [R] the first token in the row's pages that its new one sees
    ends: Numbers  # [R] behind the last one

    @property
    def num_rows(self) -> int:
        return len(self.ends)

    @classmethod
    def of(cls, cache: KVCache, rows: list[Row]) -> Self:
        """With arrays."""
        pages = np.zeros((len(rows), max(len(row.pages) for row in rows)), dtype=np.int32)
        for i, row in enumerate(rows):
            pages[i, : len(row.pages)] = row.pages
        bounds = np.array([(cache.window.first_seen(row.trunk), row.trunk) for row in rows], dtype=np.int32)
        passed = np.array([row.passed * cache.page_size for row in rows], dtype=np.int32)
        arrays: Any = (pages, *(bounds.T - passed))
        return cls(*arrays)
