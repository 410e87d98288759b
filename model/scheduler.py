"""Which waiting rows are prefilled next, and which places of the cache they get.

Rows are admitted only while their worst case fits, so nothing is ever preempted. Rows prefilled together are
of similar length. The row that has waited longest chooses the length: no row starves.
"""

from collections import deque
from dataclasses import dataclass, field

from model.request import Request


@dataclass
class Sequence:
    """A row on its way through the engine."""

    request: Request
    slot: int
    start: int  # first place of its segment in the cache
    cached: int = 0
    token_ids: list[int] = field(default_factory=list)  # generated
    logprobs: list[float] = field(default_factory=list)


class SegmentAllocator:
    """Contiguous segments of the cache, first fit."""

    def __init__(self, places: int) -> None:
        self.places = places
        self._taken: dict[int, int] = {}  # start -> end

    def allocate(self, length: int) -> int | None:
        start = 0
        for taken_start, taken_end in sorted(self._taken.items()):
            if taken_start - start >= length:
                break
            start = taken_end
        if self.places - start < length:
            return None
        self._taken[start] = start + length
        return start

    def free(self, start: int) -> None:
        del self._taken[start]


class Scheduler:
    def __init__(self, slots: int, cache_places: int, prefill_tokens: int) -> None:
        self.prefill_tokens = prefill_tokens
        self.segments = SegmentAllocator(cache_places)
        self.free_slots = list(reversed(range(slots)))
        self.running: dict[int, Sequence] = {}  # by slot
        self._buckets: dict[int, deque[tuple[int, Request]]] = {}
        self._arrivals = 0

    def add(self, request: Request) -> None:
        bucket = _bucket(len(request.prompt_token_ids))
        self._buckets.setdefault(bucket, deque()).append((self._arrivals, request))
        self._arrivals += 1

    @property
    def idle(self) -> bool:
        return not self.running and not self._buckets

    def admit(self) -> list[Sequence]:
        """Rows to prefill together now, from the bucket whose first row has waited longest."""
        admitted: list[Sequence] = []
        if not self._buckets:
            return admitted
        bucket = min(self._buckets, key=lambda bucket: self._buckets[bucket][0][0])
        waiting, tokens = self._buckets[bucket], 0
        while waiting and self.free_slots:
            request = waiting[0][1]
            tokens += request.prefill_tokens
            if admitted and tokens > self.prefill_tokens:
                break
            start = self.segments.allocate(request.cache_tokens)
            if start is None:
                break
            waiting.popleft()
            sequence = Sequence(request, self.free_slots.pop(), start)
            self.running[sequence.slot] = sequence
            admitted.append(sequence)
        if not waiting:
            del self._buckets[bucket]
        return admitted

    def release(self, sequence: Sequence) -> None:
        del self.running[sequence.slot]
        self.segments.free(sequence.start)
        self.free_slots.append(sequence.slot)


def _bucket(length: int) -> int:
    """Lengths of a bucket differ by less than a factor of two."""
    return length.bit_length()
