"""One open stream a process, so that reading the next shard goes on where the last one stopped.

A compressed stream and a row group can only be read from their beginning, and a large one holds hundreds of
shards. If each shard opened its file anew, the file would be decompressed hundreds of times. So a process
keeps its last stream open and continues in it if the next shard lies further on.
"""

import atexit
from collections.abc import Callable, Hashable, Iterator
from typing import Any

_last: dict[Hashable, "_Cursor"] = {}  # one at most
atexit.register(_last.clear)  # before the interpreter drops the modules that closing it needs


class _Cursor:
    """A position in a stream of pieces that can be sliced (bytes, record batches)."""

    def __init__(self, pieces: Iterator[Any]) -> None:
        self._pieces = pieces
        self._piece: Any = b""
        self._used = 0  # how much of `_piece` is behind the position
        self.position = 0

    def read(self, start: int, end: int) -> Iterator[Any]:
        """What lies in [start, end); `start` is not before `position`. Less if the stream ends earlier."""
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
    """The part [start, end) of the stream of pieces that `open_` returns, opened again only if necessary.

    `key` must identify the content, not only the path: equal keys mean equal pieces.
    """
    cursor = _last.pop(key, None)
    _last.clear()
    if cursor is None or cursor.position > start:
        cursor = _Cursor(open_())
    yield from cursor.read(start, end)
    _last[key] = cursor  # not reached after an error, nor if the caller stopped before the end
