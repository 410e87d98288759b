"""Going on where the last read stopped.

A compressed stream and a row group can only be read from their beginning, and a large one holds hundreds of
shards: opened anew for each, a file would be decompressed hundreds of times. So a process keeps the last one
open, and goes on in it if its next shard lies further on.
"""

import atexit
from collections.abc import Callable, Hashable, Iterator
from typing import Any

_last: dict[Hashable, "_Cursor"] = {}  # one at most
atexit.register(_last.clear)  # while there is still all that closing it takes


class _Cursor:
    """Pieces that have a length and can be sliced (bytes, record batches), cut wherever one likes."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces
        self._piece: Any = b""
        self._used = 0  # of the piece
        self.position = 0

    def read(self, start: int, end: int) -> Iterator[Any]:
        """What lies in [start, end), from `position` on; less where the pieces come to an end."""
        while self.position < end:
            if self._used == len(self._piece):
                piece = next(self._pieces, None)
                if piece is None:
                    return
                self._piece, self._used = piece, 0
            until = start if self.position < start else end
            take = min(len(self._piece) - self._used, until - self.position)
            begin, self._used = self._used, self._used + take
            self.position += take
            if self.position > start and take:
                yield self._piece[begin : self._used]


def read_on(key: Hashable, open_: Callable[[], Iterator[Any]], start: int, end: int) -> Iterator[Any]:
    """The part [start, end) of the pieces that `open_` gives, without opening them again where that can be.

    `key` must tell the content, not only the place: two equal keys mean equal pieces.
    """
    cursor = _last.pop(key, None)
    _last.clear()
    if cursor is None or cursor.position > start:
        cursor = _Cursor(open_())
    yield from cursor.read(start, end)
    _last[key] = cursor  # not after an error, or if the reader left half-way
