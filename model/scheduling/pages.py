"""Pages of the cache: which are free, and how many the rows that run are likely to need.

A page holds a fixed number of tokens. Rows take pages as they grow, not all at once, so the cache holds more
rows than it could hold at their longest. With a sliding window they give back those that are passed, too.
"""

import heapq
from typing import Any

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
        assert count <= len(self._free), "room is made before pages are taken"
        return [heapq.heappop(self._free) for _ in range(count)]

    def give(self, pages: list[int]) -> None:
        for page in pages:
            heapq.heappush(self._free, page)


class PagesToCome:
    """How many pages the running rows will have at most, if each grows by one token a step to its end.

    A row frees its pages when it has come to its end. So the need is greatest right before some row's last
    step, and only those moments are looked at. Moments are counted in steps from the first one.
    """

    def __init__(self, slots: int, page_size: int, most_of_a_row: int | None = None) -> None:
        """`most_of_a_row`: pages that a row never has more of; None: it has those of all its tokens."""
        self.page_size = page_size
        self.most_of_a_row = most_of_a_row
        self.now = 0
        self._tokens = np.zeros(slots, dtype=np.int64)  # by slot: what the row had at moment 0, by its pace
        self._end = np.zeros(slots, dtype=np.int64)  # the moment of its last token
        self._need = np.zeros(slots, dtype=np.int64)  # pages of all rows at that moment
        self._there = np.zeros(slots, dtype=np.bool_)

    def add(self, slot: int, kept: int, further: int) -> None:
        """A row that keeps so many tokens now, and so many further ones in the steps to come."""
        tokens, end = kept - self.now, self.now + further
        earlier = self._end <= end
        self._need[earlier] += self._pages(tokens, self._end[earlier])
        self._need[slot] = self._at(tokens, end)
        self._tokens[slot], self._end[slot], self._there[slot] = tokens, end, True

    def remove(self, slot: int) -> None:
        if self._there[slot]:
            self._there[slot] = False
            earlier = self._end <= self._end[slot]
            self._need[earlier] -= self._pages(self._tokens[slot], self._end[earlier])

    def most(self) -> int:
        """Pages, at any moment to come."""
        return int(self._need[self._there].max(initial=0))

    def most_with(self, kept: int, further: int) -> int:
        """The same if one more row began now."""
        tokens, end = kept - self.now, self.now + further
        need = self._need + np.where(self._end <= end, self._pages(tokens, self._end), 0)
        return max(int(need[self._there].max(initial=0)), self._at(tokens, end))

    def overdue(self) -> list[int]:
        """Slots of rows that should have ended by now."""
        slots: list[int] = np.flatnonzero(self._there & (self._end < self.now)).tolist()
        return slots

    def _at(self, tokens: int, end: int) -> int:
        """Pages at a new moment, of the row that ends then and all that end no earlier."""
        later = self._there & (self._end >= end)
        return int(self._pages(self._tokens[later], end).sum() + self._pages(tokens, end))

    def _pages(self, tokens: Any, moment: Any) -> Any:
        pages = -(-(tokens + moment) // self.page_size)
        return pages if self.most_of_a_row is None else np.minimum(pages, self.most_of_a_row)
