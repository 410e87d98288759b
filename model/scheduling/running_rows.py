"""Rows that run, and what they hold: a slot each, pages of the cache, and prefixes that they share.

Rows are let in while the cache is likely to suffice for all of them. If it does not, the youngest one has to
go: it will compute its tokens once more.
"""

from model.scheduling.answer_lengths import AnswerLengths
from model.scheduling.batch import NO_PAGE
from model.scheduling.pages import PageAllocator, PagesToCome
from model.scheduling.prefix_pages import PrefixPages
from model.scheduling.prefix_tree import Prefix
from model.scheduling.sequence import Sequence
from model.sliding_window import SlidingWindow

_SPARE = 0.01  # of the pages, for answers that are longer than expected: computing tokens again costs more


class RunningRows:
    def __init__(self, slots: int, pages: int, window: SlidingWindow) -> None:
        self.window = window
        self.pages = PageAllocator(pages)
        self.prefixes = PrefixPages(range(slots, 2 * slots), self.pages, window.page_size)
        self.lengths = AnswerLengths()
        self.rows: dict[int, Sequence] = {}  # by slot, youngest last
        self.free_slots = list(reversed(range(slots)))
        self._while_prefilling: dict[int, int] = {}  # by slot: pages beside those that its row decodes with
        self._to_come = PagesToCome(slots, window.page_size, window.most)

    def next_step(self) -> list[Sequence]:
        """A step begins: rows give back what is passed; those that decode get a page if they need one.

        The rows that had to go for that, which hold nothing any more.
        """
        gone: list[Sequence] = []
        self._give_back_passed()
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
        if self.window.size is not None:  # it may be computed in parts
            cache_tokens = max(cache_tokens, sequence.prefilled)
        fitting = [
            node
            for node in path
            if self.window.whole(node.end) + self.window.prefilled(cache_tokens - node.end)
            <= self.pages.pages
        ]
        return self.prefixes.with_slots(fitting)

    def is_divisible(self, sequence: Sequence) -> bool:
        """Whether an empty cache could hold the tokens of the parts that are computed before the last."""
        return self.window.prefilled(sequence.prefilled) <= self.pages.pages

    def fits(self, sequence: Sequence, path: list[Prefix], divided: bool) -> bool:
        """Whether the row and the path's nodes, which it reads, find a slot and pages, now and to its end."""
        own = self._own_tokens(sequence, path, divided)
        fresh, unread = self.prefixes.missing(path), self.prefixes.unread_of(path)
        now = self.window.prefilled(own) + fresh
        if not self.free_slots or now > self.pages.free + self.prefixes.unread - unread:
            return False
        most = self._to_come.most_with(own, self._further(sequence)) if own > 0 else self._to_come.most()
        most += self._beyond_decoding(own) + sum(self._while_prefilling.values())
        spare = int(_SPARE * self.pages.pages) if self.rows else 0
        return self.prefixes.read + unread + fresh + most <= self.pages.pages - spare

    def begin(self, sequence: Sequence, path: list[Prefix], divided: bool) -> None:
        """The row runs, and so do the nodes of its path that are to be computed for it."""
        own = self._own_tokens(sequence, path, divided)
        pages, fresh = self.window.prefilled(own), sum(not node.started for node in path)
        self.prefixes.make_room(pages + self.prefixes.missing(path), fresh, kept=path)
        self.prefixes.hold(path)
        sequence.prefix, sequence.shared = (path[-1], path[-1].end) if path else (None, 0)
        sequence.cached, sequence.own_first = sequence.shared, self.window.whole(sequence.shared)
        sequence.passed, sequence.slot = 0, self.free_slots.pop()
        sequence.reserve = self.pages.take(pages)
        if self.window.size is None:
            sequence.own_pages, sequence.reserve = sequence.reserve, []
        sequence.divisible = divided or bool(sequence.request.cache_tokens)
        self.rows[sequence.slot] = sequence
        if beyond := self._beyond_decoding(own):
            self._while_prefilling[sequence.slot] = beyond
        self._foresee(sequence)

    def place(self, sequence: Sequence, end: int) -> None:
        """The row computes its prompt up to `end`: what later steps see of that gets pages of its reserve."""
        is_kept = end < sequence.prefilled or bool(sequence.request.cache_tokens)
        if self.window.size is None or not is_kept:
            return
        held = sequence.own_first + len(sequence.own_pages)
        first = max(held, min(self.window.passed(end), self.window.whole(end) - 1))
        sequence.own_pages += [NO_PAGE] * (first - held)
        for _ in range(first, self.window.whole(end)):
            sequence.own_pages.append(sequence.reserve.pop())

    def end(self, sequence: Sequence) -> None:
        """The row holds nothing any more; its slot stands in it still."""
        del self.rows[sequence.slot]
        self._to_come.remove(sequence.slot)
        self.free_slots.append(sequence.slot)
        self._while_prefilling.pop(sequence.slot, None)
        self.pages.give([page for page in sequence.own_pages if page != NO_PAGE] + sequence.reserve)
        sequence.own_pages, sequence.reserve = [], []
        if sequence.prefix:
            self.prefixes.release(sequence.prefix.path)

    def _foresee(self, sequence: Sequence) -> None:
        """What the row is likely to need from now on."""
        self._to_come.remove(sequence.slot)
        if sequence.request.cache_tokens:
            kept = max(sequence.prefilled, sequence.cached) - sequence.shared
            self._to_come.add(sequence.slot, kept, self._further(sequence))
        elif held := len(sequence.own_pages) + len(sequence.reserve):
            self._to_come.add(sequence.slot, held * self.window.page_size, 0)

    def _further(self, sequence: Sequence) -> int:
        """Tokens that the row is likely to feed beside those that it has."""
        wanted, fed = sequence.request.wanted, len(sequence.fed)
        if not wanted.may_end_early:
            return wanted.kept_tokens - fed
        return self.lengths.expected(fed, wanted.kept_tokens) - fed

    def _own_tokens(self, sequence: Sequence, path: list[Prefix], divided: bool) -> int:
        """Tokens of the prompt behind a path that the row keeps in the cache, or gives back in time."""
        kept = sequence.prefilled if sequence.request.cache_tokens or divided else 0
        return max(0, kept - path[-1].end) if path else kept

    def _beyond_decoding(self, own: int) -> int:
        """Pages that a prompt takes while it is computed, beside those that its row decodes with."""
        return self.window.prefilled(own) - self.window.held(own)

    def _lacks_page(self, sequence: Sequence) -> bool:
        held = sequence.own_first + len(sequence.own_pages)
        return held * self.window.page_size <= sequence.cached

    def _give_back_passed(self) -> None:
        """What no token to come sees; pages of a prompt that is being computed go on to its later parts."""
        if self.window.size is None:
            return
        for sequence in self.rows.values():
            gone = sequence.pass_pages(self.window.passed(sequence.cached))
            if sequence.decodes:
                self.pages.give(gone + sequence.reserve)
                sequence.reserve = []
                self._while_prefilling.pop(sequence.slot, None)
            else:
                sequence.reserve += gone
            seen_from = sequence.passed * self.window.page_size
            if sequence.prefix and sequence.cached > sequence.shared <= seen_from:
                self.prefixes.release(sequence.prefix.path)
                sequence.leave_prefix()
