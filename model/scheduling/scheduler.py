"""What runs in the next step: one token of every row that decodes and, beside that, prompts within a budget.

Prompts of similar length are computed together, long ones in parts. What several prompts begin with is
computed once, before them.
"""

from dataclasses import dataclass, field

from model.requests.readout import Reading
from model.requests.request import Request
from model.requests.split_row import SplitRow
from model.scheduling.batch import Row
from model.scheduling.prefill_budget import PrefillBudget
from model.scheduling.prefix_tree import Prefix, PrefixTree, nodes_below
from model.scheduling.running_rows import RunningRows
from model.scheduling.sequence import Sequence
from model.scheduling.waiting_rows import WaitingRows
from model.sliding_window import SlidingWindow


@dataclass
class Step:
    rows: list[Row] = field(default_factory=list)  # decoding ones first, prefixes before those that read them
    of: list[Sequence | Prefix] = field(default_factory=list)  # what each row is a part of
    # Before the step runs, counters of these slots are emptied: they are kept for rows that were set back.
    set_back: list[tuple[int, Sequence]] = field(default_factory=list)
    forgotten: list[int] = field(default_factory=list)

    def add(self, one: Sequence | Prefix, row: Row) -> None:
        self.of.append(one)
        self.rows.append(row)


class Scheduler:
    def __init__(
        self, slots: int, pages: int, window: SlidingWindow, budget: PrefillBudget, shares: bool = True
    ) -> None:
        """`shares`: whether rows share what their prompts begin with, up to a window's length."""
        self.slots = slots
        self.budget = budget
        self.shares = shares
        self.running = RunningRows(slots, pages, window)
        self.queue = WaitingRows()
        self._tree = PrefixTree(window.page_size)
        self._prefilling: list[Sequence | Prefix] = []  # have begun, with tokens of the prompt to come
        self._arrivals = 0

    def add(self, request: Request, reading: Reading, part_of: tuple[SplitRow, int] | None = None) -> None:
        """Let a row wait. It may share what of its prompt is not read."""
        most = request.first_read if self.shares else 0
        if self.running.window.size is not None:
            most = min(most, self.running.window.size)
        node = self._tree.add(request.prompt_token_ids, most)
        self.queue.add(Sequence(request, reading, self._arrivals, node, part_of))
        self._arrivals += 1

    @property
    def waiting(self) -> int:
        """Rows that have not begun, or have to begin once more."""
        return len(self.queue)

    @property
    def idle(self) -> bool:
        return not self.running.rows and not self.queue

    def next_step(self) -> Step:
        step = Step()
        for sequence in self.running.next_step():
            step.set_back.append((sequence.slot, sequence))
            self._forget(sequence)
            self.queue.add(sequence)
        decoding = [one for one in self.running.rows.values() if one.decodes]
        for sequence in decoding:
            step.add(sequence, sequence.next_token())
        budget = self.budget.of_step(len(decoding), self.slots)
        left = budget
        for one in [*self._prefilling]:
            left = self._prefill(one, left, step)
        for bucket in self.queue.buckets():
            before = left
            while left > 0 and (waiting := self.queue.first(bucket)):
                begun = self._begin(waiting, left, alone=left == budget)
                if not begun:
                    break
                self.queue.take(bucket)
                for one in begun:
                    self._forget(one)  # a prefix may have been dropped when it was half computed
                    self._prefilling.append(one)
                    left = self._prefill(one, left, step)
            if left < before:
                break
        step.forgotten = self.running.prefixes.forgotten
        self.running.prefixes.forgotten = []
        return step

    def readers(self, prefix: Prefix) -> list[Sequence]:
        """Running rows that read a prefix."""
        return [one for one in self.running.rows.values() if one.reads(prefix)]

    def drop(self, failed: Prefix) -> None:
        """Forget a prefix that was not computed, and what lies below it; its readers have been released."""
        for node in reversed([failed, *nodes_below(failed)]):
            if node.started:
                self.running.prefixes.drop(node)
                self._forget(node)

    def release(self, sequence: Sequence) -> None:
        """A row has ended."""
        if sequence.request.cache_tokens:
            self.running.lengths.add(len(sequence.fed))
        self.running.end(sequence)
        self._forget(sequence)
        for node in self._tree.remove(sequence.node):
            if node.started:
                self.running.prefixes.drop(node)
                self._forget(node)
        if self.idle:  # what rows that run alone give, to the last bit, depends on no earlier ones
            self.running.lengths.forget()

    def _begin(self, sequence: Sequence, left: int, alone: bool) -> list[Sequence | Prefix]:
        """The row, and before it the prefixes to compute for it; nothing if it has to wait.

        `alone`: no other prompt is computed in this step, so that one beyond the budget may begin.
        """
        path = self.running.usable(sequence, self._tree.shared(sequence.node))
        fresh = [node for node in path if not node.started]
        begin = path[-1].end if path else 0
        own, nodes = sequence.prefilled - begin, len(sequence.request.wanted.tree.token_ids)
        work = self.budget.work(begin, own + nodes)
        work += sum(self.budget.work(node.begin, node.end - node.begin) for node in fresh)
        if work > left and not alone:
            return []
        divided = self.budget.work(begin, own) > left and self.running.is_divisible(sequence)
        if not self.running.fits(sequence, path, divided):
            return []
        self.running.begin(sequence, path, divided)
        for node in fresh:
            node.computed_for = sequence
        return [*fresh, sequence]

    def _prefill(self, one: Sequence | Prefix, left: int, step: Step) -> int:
        """Compute what the budget has room for of a prompt or prefix; what is left of the budget."""
        if isinstance(one, Prefix) and not one.started:  # it was dropped when it was half computed
            self._forget(one)
            return left
        is_ready = isinstance(one, Prefix) or one.prefix is None or one.prefix.computed
        most = self.budget.tokens(left, one.cached)
        if not is_ready or most < 1:
            return left
        begin = one.cached
        end = one.part_end(most)
        if isinstance(one, Sequence):
            self.running.place(one, end)
        row = one.part(end)
        step.add(one, row)
        if one.computed if isinstance(one, Prefix) else one.decodes:
            self._forget(one)
        return left - self.budget.work(begin, row.length)

    def _forget(self, one: Sequence | Prefix) -> None:
        """It has no tokens of its prompt to come."""
        if one in self._prefilling:
            self._prefilling.remove(one)
