"""How long answers are: what rows are likely to need of the cache, told by the rows that have ended."""

from bisect import bisect_right
from itertools import accumulate

_FIRST_GUESS = 128  # tokens, as long as no row has ended
_REMEMBERED = 1024  # answers
_AGAIN = 64  # answers after which the means are computed again


class AnswerLengths:
    """The mean length of those of the latest answers that were longer than a row's is by now."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._latest: list[int] = []
        self._sorted: list[int] = []
        self._sums: list[int] = [0]
        self._unread = 0

    def add(self, tokens: int) -> None:
        """A row has ended, with so many generated tokens."""
        self._latest.append(tokens)
        self._unread += 1

    def expected(self, generated: int, limit: int) -> int:
        """How many tokens a row that has generated so many will have in the end: `limit` at most."""
        self._read()
        longer = bisect_right(self._sorted, generated)
        count = len(self._sorted) - longer
        if count:
            mean = -(-(self._sums[-1] - self._sums[longer]) // count)
        else:
            mean = max(_FIRST_GUESS, 2 * generated)
        return min(limit, mean)

    def _read(self) -> None:
        if self._unread < min(_AGAIN, 1 + len(self._sorted) // 8):
            return
        self._unread = 0
        del self._latest[:-_REMEMBERED]
        self._sorted = sorted(self._latest)
        self._sums = [0, *accumulate(self._sorted)]
