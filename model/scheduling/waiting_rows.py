"""Rows that wait, in buckets of similar length. The row that has waited longest chooses the bucket.

Where that row does not fit yet, a bounded number of others may go before it: no row starves.
"""

import heapq
from collections.abc import Iterator

from model.scheduling.sequence import Sequence

MAX_OVERTAKING = 64


class WaitingRows:
    def __init__(self) -> None:
        self._buckets: dict[int, list[tuple[int, Sequence]]] = {}  # heaps, by arrival
        self._overtaken = 0  # rows taken before the one that has waited longest, since it did not fit

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, sequence: Sequence) -> None:
        """Let a row wait; one that was set back has its old place."""
        bucket = self._buckets.setdefault(_bucket(sequence), [])
        heapq.heappush(bucket, (sequence.arrival, sequence))

    def buckets(self) -> Iterator[int]:
        """Longest-waiting row first; after MAX_OVERTAKING overtakings only the first bucket."""
        order = sorted(self._buckets, key=lambda bucket: self._buckets[bucket][0][0])
        return iter(order if self._overtaken < MAX_OVERTAKING else order[:1])

    def first(self, bucket: int) -> Sequence | None:
        """The bucket's next row; None if there is none, or if too many have been taken before another."""
        waiting = self._buckets.get(bucket)
        if not waiting or (self._overtaken >= MAX_OVERTAKING and not self._is_oldest(waiting[0][0])):
            return None
        return waiting[0][1]

    def take(self, bucket: int) -> Sequence:
        waiting = self._buckets[bucket]
        self._overtaken = 0 if self._is_oldest(waiting[0][0]) else self._overtaken + 1
        _, sequence = heapq.heappop(waiting)
        if not waiting:
            del self._buckets[bucket]
        return sequence

    def _is_oldest(self, arrival: int) -> bool:
        return arrival == min(waiting[0][0] for waiting in self._buckets.values())


def _bucket(sequence: Sequence) -> int:
    """Lengths of a bucket differ by less than a factor of two."""
    return len(sequence.request.prompt_token_ids).bit_length()
