"""A row on its way through the engine: which of its tokens the model has seen, and what it computes next."""

from dataclasses import dataclass, field

from model.requests.readout import Reading
from model.requests.request import Request
from model.requests.row_routing import RowRouting
from model.requests.split_row import SplitRow
from model.requests.token_tree import NO_TREE
from model.scheduling.batch import NO_PAGE, Phase, Row
from model.scheduling.prefix_tree import Prefix


@dataclass(eq=False)
class Sequence:
    request: Request
    reading: Reading
    arrival: int
    node: Prefix  # where its prompt's path in the prefix tree ends
    part_of: tuple[SplitRow, int] | None = None  # and which part of it
    prefix: Prefix | None = None  # the last of the shared nodes that it reads
    shared: int = 0  # tokens of its prompt in pages of shared nodes when it began
    slot: int = -1
    cached: int = 0  # tokens that the model has seen, those of the prefix among them
    own_pages: list[int] = field(default_factory=list)  # NO_PAGE: its tokens are seen in this step alone
    # With a sliding window:
    own_first: int = 0  # which of the row's pages the first of its own is
    passed: int = 0  # how many of the row's first pages no token to come sees
    reserve: list[int] = field(default_factory=list)  # pages for what is to come of its prompt
    fed: list[int] = field(default_factory=list)  # generated tokens that were fed back
    divisible: bool = True  # whether its prompt may be computed in parts
    prefixes_computed: list[RowRouting] = field(default_factory=list)  # those that it needed first
    # Whether its prompt had been read when it was set back. It computes its tokens once more then, but what
    # the router does with them is counted already, in these two.
    was_read: bool = False
    routing: RowRouting | None = None
    prefix_routing: RowRouting | None = None

    @property
    def pages(self) -> list[int]:
        """From page `passed` on."""
        return [*self.prefix.path_pages[self.passed :], *self.own_pages] if self.prefix else self.own_pages

    @property
    def prefilled(self) -> int:
        """Tokens that it feeds before it decodes."""
        return len(self.request.prompt_token_ids) + len(self.fed)

    @property
    def decodes(self) -> bool:
        return self.cached == self.prefilled

    @property
    def shared_routing(self) -> RowRouting | None:
        """What the router did with the tokens of its prefix."""
        return self.prefix.routing if self.prefix and not self.was_read else self.prefix_routing

    def reads(self, prefix: "Prefix | Sequence") -> bool:
        return self.prefix is not None and prefix in self.prefix.path

    def set_back(self) -> None:
        """It runs no more, and will begin once more. Its slot stands in it still."""
        if self.decodes and not self.was_read:
            self.prefix_routing, self.was_read = self.shared_routing, True
        elif not self.was_read:
            self.prefix_routing = None
        self.prefix, self.cached, self.shared = None, 0, 0

    def leave_prefix(self) -> None:
        """No token to come sees its prefix, which has been computed."""
        self.prefix_routing, self.prefix = self.shared_routing, None

    def pass_pages(self, passed: int) -> list[int]:
        """No token to come sees so many of its first pages; those of them that were its own."""
        self.passed = passed
        own = max(0, passed - self.own_first)
        gone, self.own_pages = self.own_pages[:own], self.own_pages[own:]
        self.own_first += len(gone)
        return [page for page in gone if page != NO_PAGE]

    def part_end(self, most: int) -> int:
        """Up to which token the next part goes, of about `most` tokens.

        Tokens that are read are computed in one part, however many they are, unless the readout takes them
        in several steps.
        """
        whole = self.was_read or self.request.wanted.in_steps
        divided = self.prefilled if whole else self.request.first_read
        if self.prefilled - self.cached <= most or not self.divisible or divided <= self.cached:
            return self.prefilled
        return min(self.cached + most, divided)

    def part(self, end: int) -> Row:
        """Feed its tokens up to `end`; with the last one comes the tree. Those that are wanted are read."""
        request, wanted = self.request, self.request.wanted
        begin, self.cached = self.cached, end
        first, is_last = request.first_read, end == self.prefilled
        reads = first < end and not self.was_read
        asked = wanted.asked
        if wanted.in_steps and len(asked):
            asked = asked.of_part(max(0, begin - first), max(0, end - first))
        return Row(
            phase=Phase.PREFILL,
            slot=self.slot,
            cached=begin,
            token_ids=[*request.prompt_token_ids, *self.fed][begin:end],
            pages=self.pages,
            passed=self.passed,
            shared=self.shared,
            follows=self.prefix.slot if self.prefix and begin == self.shared else None,
            keeps=bool(request.cache_tokens) or not is_last,
            counted=not self.was_read,
            tree=wanted.tree if reads and is_last else NO_TREE,
            read_from=max(0, first - begin) if reads else None,
            head=wanted.head,
            asked=asked,
            whole=request.positions,
            reads_on=reads and not is_last,
        )

    def next_token(self) -> Row:
        """Feed the token that was generated last."""
        self.fed.append(self.reading.next_token)
        self.cached += 1
        return Row(
            phase=Phase.DECODE,
            slot=self.slot,
            cached=self.cached - 1,
            token_ids=self.fed[-1:],
            pages=self.pages,
            passed=self.passed,
            shared=self.shared,
            keeps=True,
            head=self.request.wanted.head,
            whole=self.request.positions,
        )
