"""Which waiting rows are prefilled next, and which pages of the cache rows have.

Rows are admitted only while the worst case of all that run fits, so nothing is ever preempted. Rows prefilled
together are of similar length. The row that has waited longest chooses the length; where it does not fit yet,
a bounded number of others may go before it: no row starves.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from model.requests.readout import Reading
from model.requests.request import Request
from model.requests.split_row import SplitRow
from model.scheduling.batch import Phase, Row
from model.scheduling.pages import Growth, PageAllocator, worst_case

MAX_OVERTAKING = 64


@dataclass
class Sequence:
    """A row on its way through the engine."""

    request: Request
    reading: Reading
    shared: int  # tokens of its prompt that are shared, and computed already
    slot: int = -1
    cached: int = 0  # tokens behind the prefix that the model has seen
    pages: list[int] = field(default_factory=list)
    part_of: tuple[SplitRow, int] | None = None  # and which part of it

    @property
    def prompt_tokens(self) -> int:
        """Tokens of the prompt that the row computes itself: those behind the shared prefix."""
        return len(self.request.prompt_token_ids) - self.shared

    def prompt(self) -> Row:
        """What the row computes first: its own part of the prompt, and the tree behind it."""
        request, wanted = self.request, self.request.wanted
        return Row(
            phase=Phase.PREFILL,
            slot=self.slot,
            cached=0,
            token_ids=request.prompt_token_ids[self.shared :],
            pages=self.pages,
            tree=wanted.tree,
            shared=self.shared,
            read_from=request.first_read - self.shared,
            head=wanted.head,
            asked=wanted.asked,
        )

    def next_token(self) -> Row:
        token, head = [self.reading.next_token], self.request.wanted.head
        return Row(Phase.DECODE, self.slot, self.cached, token, self.pages, shared=self.shared, head=head)

    def growth(self, kept: int) -> Growth | None:
        """How the row grows in the cache from `kept` tokens on; None if it keeps none at any time."""
        most = self.request.cache_tokens
        return Growth(kept, most - self.shared - kept) if most else None


class Scheduler:
    def __init__(self, slots: int, pages: int, page_size: int, prefill_tokens: int) -> None:
        self.prefill_tokens = prefill_tokens
        self.page_size = page_size
        self.pages = PageAllocator(pages)
        self.free_slots = list(reversed(range(slots)))
        self.running: dict[int, Sequence] = {}  # by slot
        self.prefix: list[int] = []
        self._buckets: dict[int, deque[tuple[int, Sequence]]] = {}
        self._arrivals = 0
        self._overtaken = 0  # rows admitted before the one that has waited longest, since it did not fit

    def add(self, request: Request, reading: Reading, part_of: tuple[SplitRow, int] | None = None) -> None:
        """Let a row wait. It shares the prefix where its prompt begins with it and nothing of it is read."""
        prompt, shared = request.prompt_token_ids, len(self.prefix)
        if request.first_read < shared or prompt[:shared] != self.prefix:
            shared = 0
        sequence = Sequence(request, reading, shared, part_of=part_of)
        bucket = _bucket(sequence.prompt_tokens)
        self._buckets.setdefault(bucket, deque()).append((self._arrivals, sequence))
        self._arrivals += 1

    @property
    def idle(self) -> bool:
        return not self.running and not self._buckets

    @property
    def waiting(self) -> int:
        """Rows that are not admitted yet."""
        return sum(map(len, self._buckets.values()))

    def next_step(self) -> tuple[list[Sequence], list[Sequence]]:
        """Rows that decode a token now, and rows to prefill beside them, all with pages for it."""
        decoding = list(self.running.values())
        growth = [sequence.growth(sequence.cached + 1) for sequence in decoding]
        admitted = self._admit([one for one in growth if one is not None])
        for sequence in decoding:
            self._make_room(sequence, sequence.cached + 1)
        for sequence in admitted:
            if sequence.request.cache_tokens:
                self._make_room(sequence, sequence.prompt_tokens)
        return decoding, admitted

    def release(self, sequence: Sequence) -> None:
        del self.running[sequence.slot]
        self.pages.give(sequence.pages)
        self.free_slots.append(sequence.slot)

    def _admit(self, growth: list[Growth]) -> list[Sequence]:
        """Admit waiting rows of one bucket that fit beside the running ones, which grow by `growth`."""
        for bucket in self._eligible():
            admitted = self._admit_from(bucket, growth)
            if admitted:
                return admitted
        return []

    def _eligible(self) -> Iterator[int]:
        """Buckets, longest-waiting row first; after MAX_OVERTAKING overtakings only the first bucket."""
        order = sorted(self._buckets, key=lambda bucket: self._buckets[bucket][0][0])
        return iter(order if self._overtaken < MAX_OVERTAKING else order[:1])

    def _admit_from(self, bucket: int, growth: list[Growth]) -> list[Sequence]:
        waiting, tokens = self._buckets[bucket], 0
        oldest = min(queue[0][0] for queue in self._buckets.values())
        first = waiting[0][0] == oldest
        admitted: list[Sequence] = []
        while waiting and self.free_slots and (first or self._overtaken < MAX_OVERTAKING):
            sequence = waiting[0][1]
            tokens += sequence.request.prefill_tokens - sequence.shared
            if admitted and tokens > self.prefill_tokens:
                break
            grown = sequence.growth(sequence.prompt_tokens)
            if grown is not None:
                if worst_case([*growth, grown], self.page_size) > self.pages.pages:
                    break
                growth.append(grown)
            waiting.popleft()
            self._overtaken = 0 if first else self._overtaken + 1
            sequence.slot = self.free_slots.pop()
            self.running[sequence.slot] = sequence
            admitted.append(sequence)
        if not waiting:
            del self._buckets[bucket]
        return admitted

    def _make_room(self, sequence: Sequence, tokens: int) -> None:
        sequence.pages += self.pages.take(-(-tokens // self.page_size) - len(sequence.pages))


def _bucket(length: int) -> int:
    """Lengths of a bucket differ by less than a factor of two."""
    return length.bit_length()
