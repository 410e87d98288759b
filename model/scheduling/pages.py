"""Pages of the cache: which are free, and how many rows may come to need, so that none ever runs short.

A page holds a fixed number of tokens of one row. Rows take pages as they grow, not all at once, so the cache
holds more rows than it could hold at their longest.
"""

import heapq
from dataclasses import dataclass

import numpy as np


class PageAllocator:
    """The free pages; the lowest goes first, so that what is in use lies close together."""

    def __init__(self, pages: int) -> None:
        self.pages = pages
        self._free = list(range(pages))

    @property
    def free(self) -> int:
        return len(self._free)

    def take(self, count: int) -> list[int]:
        assert count <= len(self._free), "rows are admitted only while their worst case fits"
        return [heapq.heappop(self._free) for _ in range(count)]

    def give(self, pages: list[int]) -> None:
        for page in pages:
            heapq.heappush(self._free, page)


@dataclass(frozen=True)
class Growth:
    """Tokens that a row keeps in the cache now, and how many more it may come to keep, one a step."""

    kept: int
    further: int


def worst_case(rows: list[Growth], page_size: int) -> int:
    """The most pages that the rows can ever need together.

    All rows grow by one token at every step, and each frees its pages when it has come to its end, if not
    before. So the need is greatest right before some row's last step.
    """
    if not rows:
        return 0
    kept = np.array([row.kept for row in rows])[:, None]
    further = np.array([row.further for row in rows])
    pages = -(-(kept + further) // page_size)  # [rows, moments]
    return int((pages * (further[:, None] >= further)).sum(0).max())
