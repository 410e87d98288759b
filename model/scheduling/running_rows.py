"""Rows that run, and what they hold: a slot each, pages of the cache, and prefixes that they share.

Rows are let in while the cache is likely to suffice for all of them. If it does not, the youngest one has to
go: it will compute its tokens once more.
"""

from model.scheduling.answer_lengths import AnswerLengths
from model.scheduling.pages import PageAllocator, PagesToCome
from model.scheduling.prefix_pages import PrefixPages
from model.scheduling.prefix_tree import Prefix
from model.scheduling.sequence import Sequence

_SPARE = 0.01  # of the pages, for answers that are longer than expected: computing tokens again costs more


class RunningRows:
    def __init__(self, slots: int, pages: int, page_size: int) -> None:
        self.page_size = page_size
        self.pages = PageAllocator(pages)
        self.prefixes = PrefixPages(range(slots, 2 * slots), self.pages, page_size)
        self.lengths = AnswerLengths()
        self.rows: dict[int, Sequence] = {}  # by slot, youngest last
        self.free_slots = list(reversed(range(slots)))
        self._to_come = PagesToCome(slots, page_size)

    def next_step(self) -> list[Sequence]:
        """A step begins: every row that decodes gets a page if its next token needs one.

        The rows that had to go for that, which hold nothing any more.
        """
        gone: list[Sequence] = []
        self._to_come.now += 1
        for slot in self._to_come.overdue():
            self._foresee(self.rows[slot])
        for sequence in [*self.rows.values()]:
            while sequence not in gone and sequence.decodes and self._lacks_page(sequence):
                self.prefixes.make_room(1, 0)
                if self.pages.free:
                    sequence.own_pages += self.pages.take(1)
                else:
                    gone.append(next(reversed(self.rows.values())))
                    self.end(gone[-1])
                    gone[-1].set_back()  # as long as its prefix is there
        return gone

    def usable(self, sequence: Sequence, path: list[Prefix]) -> list[Prefix]:
        """Of a path, what the row can read: what an empty cache could hold beside the row's own tokens."""
        cache_tokens = sequence.request.cache_tokens
        held = self._pages(cache_tokens) if cache_tokens else 0
        fitting = [node for node in path if max(held, node.end // self.page_size) <= self.pages.pages]
        return self.prefixes.with_slots(fitting)

    def is_divisible(self, sequence: Sequence) -> bool:
        """Whether an empty cache could hold the tokens of the parts that are computed before the last."""
        return self._pages(sequence.prefilled) <= self.pages.pages

    def fits(self, sequence: Sequence, path: list[Prefix], divided: bool) -> bool:
        """Whether the row and the path's nodes, which it reads, find a slot and pages, now and to its end."""
        shared = path[-1].end if path else 0
        own = self._kept(sequence, divided) - shared
        fresh, unread = self.prefixes.missing(path), self.prefixes.unread_of(path)
        now = self._pages(own) + fresh
        if not self.free_slots or now > self.pages.free + self.prefixes.unread - unread:
            return False
        most = self._to_come.most_with(own, self._further(sequence)) if own > 0 else self._to_come.most()
        spare = int(_SPARE * self.pages.pages) if self.rows else 0
        return self.prefixes.read + unread + fresh + most <= self.pages.pages - spare

    def begin(self, sequence: Sequence, path: list[Prefix], divided: bool) -> None:
        """The row runs, and so do the nodes of its path that are to be computed for it."""
        shared = path[-1].end if path else 0
        own = max(0, self._kept(sequence, divided) - shared)
        fresh = sum(not node.started for node in path)
        self.prefixes.make_room(self._pages(own) + self.prefixes.missing(path), fresh, kept=path)
        self.prefixes.hold(path)
        sequence.prefix, sequence.cached = (path[-1] if path else None), shared
        sequence.slot, sequence.own_pages = self.free_slots.pop(), self.pages.take(self._pages(own))
        sequence.divisible = divided or bool(sequence.request.cache_tokens)
        self.rows[sequence.slot] = sequence
        self._foresee(sequence)

    def end(self, sequence: Sequence) -> None:
        """The row holds nothing any more; its slot stands in it still."""
        del self.rows[sequence.slot]
        self._to_come.remove(sequence.slot)
        self.free_slots.append(sequence.slot)
        self.pages.give(sequence.own_pages)
        sequence.own_pages = []
        if sequence.prefix:
            self.prefixes.release(sequence.prefix.path)

    def _foresee(self, sequence: Sequence) -> None:
        """What the row is likely to need from now on."""
        self._to_come.remove(sequence.slot)
        if sequence.request.cache_tokens:
            kept = max(sequence.prefilled, sequence.cached) - sequence.shared
            self._to_come.add(sequence.slot, kept, self._further(sequence))
        elif sequence.own_pages:
            self._to_come.add(sequence.slot, len(sequence.own_pages) * self.page_size, 0)

    def _further(self, sequence: Sequence) -> int:
        """Tokens that the row is likely to feed beside those that it has."""
        wanted, fed = sequence.request.wanted, len(sequence.fed)
        if not wanted.may_end_early:
            return wanted.kept_tokens - fed
        return self.lengths.expected(fed, wanted.kept_tokens) - fed

    def _kept(self, sequence: Sequence, divided: bool) -> int:
        """Tokens of the prompt that are in the cache once it is computed."""
        return sequence.prefilled if sequence.request.cache_tokens or divided else 0

    def _lacks_page(self, sequence: Sequence) -> bool:
        return len(sequence.own_pages) * self.page_size <= sequence.cached - sequence.shared

    def _pages(self, tokens: int) -> int:
        return max(0, -(-tokens // self.page_size))
