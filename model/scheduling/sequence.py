"""A row on its way through the engine: which of its tokens the model has seen, and what it computes next."""

from dataclasses import dataclass, field

from model.requests.readout import Reading
from model.requests.request import Request
from model.requests.row_routing import RowRouting
from model.requests.split_row import SplitRow
from model.requests.token_tree import NO_TREE
from model.scheduling.batch import Phase, Row
from model.scheduling.prefix_tree import Prefix


@dataclass(eq=False)
class Sequence:
    request: Request
    reading: Reading
    arrival: int
    node: Prefix  # where its prompt's path in the prefix tree ends
    part_of: tuple[SplitRow, int] | None = None  # and which part of it
    prefix: Prefix | None = None  # the last of the shared nodes that it reads
    slot: int = -1
    cached: int = 0  # tokens that the model has seen, those of the prefix among them
    own_pages: list[int] = field(default_factory=list)
    fed: list[int] = field(default_factory=list)  # generated tokens that were fed back
    divisible: bool = True  # whether its prompt may be computed in parts
    prefixes_computed: list[RowRouting] = field(default_factory=list)  # those that it needed first
    # Of a row that was set back, and computes its tokens once more:
    counted: int = 0  # its first tokens, whose routing is counted in these two
    routing: RowRouting | None = None
    prefix_routing: RowRouting | None = None

    @property
    def shared(self) -> int:
        return self.prefix.end if self.prefix else 0

    @property
    def pages(self) -> list[int]:
        return [*self.prefix.path_pages, *self.own_pages] if self.prefix else self.own_pages

    @property
    def prefilled(self) -> int:
        """Tokens that it feeds before it decodes."""
        return len(self.request.prompt_token_ids) + len(self.fed)

    @property
    def decodes(self) -> bool:
        return self.cached == self.prefilled

    def reads(self, prefix: "Prefix | Sequence") -> bool:
        return self.prefix is not None and prefix in self.prefix.path

    def set_back(self) -> None:
        """It runs no more, and will begin once more. Its slot stands in it still."""
        if self.prefix and self.prefix.computed and not self.counted:
            self.prefix_routing = self.prefix.routing
        if not self.prefix or self.prefix.computed:
            self.counted = max(self.counted, self.cached)
        self.prefix, self.cached = None, 0

    def part_end(self, most: int) -> int:
        """Up to which token the next part goes, of about `most` tokens, the nodes of its tree among them.

        Tokens that are read are computed in one part, however many they are.
        """
        if self.cached < self.counted < self.prefilled:
            return min(self.cached + most, self.counted)
        whole = self.prefilled - self.cached + len(self.request.wanted.tree.token_ids)
        unread = self.prefilled if self.fed else self.request.first_read
        if whole <= most or not self.divisible or unread <= self.cached:
            return self.prefilled
        return min(self.cached + most, unread)

    def part(self, end: int) -> Row:
        """Feed its tokens up to `end`; with the last one comes the tree, and they are read."""
        request, wanted = self.request, self.request.wanted
        begin, self.cached = self.cached, end
        reads = end == self.prefilled and not self.fed
        return Row(
            phase=Phase.PREFILL,
            slot=self.slot,
            cached=begin,
            token_ids=[*request.prompt_token_ids, *self.fed][begin:end],
            pages=self.pages,
            shared=self.shared,
            follows=self.prefix.slot if self.prefix and begin == self.shared else None,
            keeps=bool(request.cache_tokens) or not reads,
            counted=begin >= self.counted,
            tree=wanted.tree if reads else NO_TREE,
            read_from=request.first_read - begin if reads else None,
            head=wanted.head,
            asked=wanted.asked,
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
            shared=self.shared,
            keeps=True,
            head=self.request.wanted.head,
        )
