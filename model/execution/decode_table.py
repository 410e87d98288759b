"""What a captured decode step is told: the numbers of each row, at a fixed address of pinned memory.

R rows, of which the last may be spare; P places of a page.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.attention.kv_cache import KVCache
from model.scheduling.batch import Row

FIRST_PAGE = 6  # column of a row's first page, behind token, position, place, first seen, end and slot


@dataclass(frozen=True)
class _Foreseen:
    """A row one token later, whose numbers are set but for that token."""

    slot: int
    trunk: int
    passed: int
    pages: list[int]

    def is_of(self, row: Row) -> bool:
        same_row = (self.slot, self.trunk, self.passed) == (row.slot, row.trunk, row.passed)
        return same_row and self.pages == row.pages


class DecodeTable:
    """Two tables in turn: while the device computes by one, the other is set for the rows' next tokens."""

    def __init__(self, rows: int, most_pages: int, cache: KVCache, spare_slot: int) -> None:
        self._cache = cache
        self._spare = (0, 0, cache.spare_page * cache.page_size, 0, 1, spare_slot)
        pinned = cache.device.type == "cuda"
        shape = rows, FIRST_PAGE + most_pages
        self._now, self._next = (torch.zeros(shape, dtype=torch.int32, pin_memory=pinned) for _ in range(2))
        self._foreseen: list[_Foreseen | None] = []

    def fill(self, rows: list[Row]) -> Tensor:
        """The rows of the next step -> the table [R, 6 + most pages]; the step before the last has ended."""
        self._now, self._next = self._next, self._now
        host = self._now.numpy()
        foreseen = self._foreseen + [None] * (len(rows) - len(self._foreseen))
        for numbers, row, known in zip(host, rows, foreseen, strict=False):
            if known is None or not known.is_of(row):
                self._set(numbers, row, row.trunk)
            numbers[0] = row.token_ids[0]
        host[len(rows) :, :FIRST_PAGE] = self._spare
        host[len(rows) :, FIRST_PAGE:] = self._cache.spare_page
        self._foreseen = []
        return self._now

    def foresee(self, rows: list[Row]) -> None:
        """Set the other table for the rows that have just been filled in, as they will be if none ends.

        A row that will need another page is left out, and what was set is set again if it gives one back.
        """
        for numbers, row in zip(self._next.numpy(), rows, strict=False):
            known = None
            if (row.passed + len(row.pages)) * self._cache.page_size > row.trunk:
                known = _Foreseen(row.slot, row.trunk + 1, row.passed, [*row.pages])
                self._set(numbers, row, known.trunk)
            self._foreseen.append(known)

    def _set(self, numbers: NDArray[np.int32], row: Row, trunk: int) -> None:
        """All but the token of a row whose new token is the trunk's last."""
        cache, size, last = self._cache, self._cache.page_size, trunk - 1
        place, passed = row.pages[last // size - row.passed] * size + last % size, row.passed * size
        numbers[1:FIRST_PAGE] = last, place, cache.window.first_seen(trunk) - passed, trunk - passed, row.slot
        numbers[FIRST_PAGE : FIRST_PAGE + len(row.pages)] = row.pages
