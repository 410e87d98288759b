"""Beginnings that prompts share, in full pages of the cache: computed once, read by all rows that have them.

A radix tree over pages of tokens (SGLang, arXiv 2312.07104, section 3). It knows the prompts of all rows that
wait or run, so that only what two of them share is kept apart (BatchLLM, arXiv 2412.03594, section 4.1).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from model.requests.row_routing import RowRouting
from model.scheduling.batch import Phase, Row


@dataclass(eq=False)
class Prefix:
    """Tokens `begin` to `end` of the prompts below, which agree up to `end`. It is the tree's node."""

    parent: "Prefix | None"
    prompt: list[int]  # one of those below
    begin: int
    end: int
    rows: int = 0  # rows below that wait or run
    children: dict[tuple[int, ...], list["Prefix"]] = field(default_factory=dict)  # by their first page
    # Once it is started:
    slot: int = -1  # of the routing counters
    pages: list[int] = field(default_factory=list)
    cached: int = 0  # tokens of the prompts that the model has seen, those above among them
    readers: int = 0  # running rows that read it
    computed_for: object = None  # the row that needed it first
    routing: RowRouting | None = None  # what the router did from the prompt's first token to `end`

    @property
    def started(self) -> bool:
        return self.slot >= 0

    @property
    def computed(self) -> bool:
        return self.started and self.cached == self.end

    @property
    def path(self) -> list["Prefix"]:
        """From the root's child down to itself."""
        path, node = [self], self.parent
        while node is not None and node.parent is not None:
            path.append(node)
            node = node.parent
        return path[::-1]

    def reads(self, prefix: object) -> bool:
        """Whether `prefix` lies above it."""
        return prefix is not self and prefix in self.path

    def part_end(self, most: int) -> int:
        """Up to which token the next part goes, of so many tokens at most."""
        return min(self.end, self.cached + most)

    def part(self, end: int) -> Row:
        """Feed its tokens up to `end`; nothing of them is read."""
        begin, self.cached = self.cached, end
        return Row(
            phase=Phase.PREFILL,
            slot=self.slot,
            cached=begin,
            token_ids=self.prompt[begin:end],
            pages=self.path_pages,
            shared=self.begin,
            follows=self.parent.slot if self.parent and begin == self.begin > 0 else None,
            keeps=True,
            read_from=None,
        )

    @property
    def path_pages(self) -> list[int]:
        """Of all tokens up to `end`."""
        return [page for node in self.path for page in node.pages]


class PrefixTree:
    def __init__(self, page_size: int) -> None:
        self.page_size = page_size
        self.root = Prefix(None, [], 0, 0)

    def add(self, prompt: list[int], most: int) -> Prefix:
        """Insert a row's prompt, of which `most` tokens may be shared; the node where its path ends."""
        node, end = self.root, most // self.page_size * self.page_size
        node.rows += 1
        while node.end < end:
            node = self._next(node, prompt, end)
            node.rows += 1
        return node

    def remove(self, node: Prefix) -> list[Prefix]:
        """Take out the row whose path ends at `node`; the nodes that are in no row's path any more."""
        gone = []
        while node.parent is not None:
            node.rows -= 1
            if not node.rows:
                gone.append(node)
                siblings = self._siblings(node)
                siblings.remove(node)
                if not siblings:
                    del node.parent.children[self._first_page(node)]
            node = node.parent
        node.rows -= 1
        return gone

    def shared(self, node: Prefix) -> list[Prefix]:
        """Of the path that ends at `node`, what several rows have or what is there already."""
        path = node.path if node.parent else []
        return [one for one in path if one.rows > 1 or one.started]

    def _next(self, node: Prefix, prompt: list[int], end: int) -> Prefix:
        """The child of `node` on the way of a prompt: an old one, the upper part of one, or a new one."""
        first = tuple(prompt[node.end : node.end + self.page_size])
        siblings = node.children.setdefault(first, [])
        for child in siblings:
            same = self._same(child, prompt, end)
            if same == child.end:
                return child
            if not child.started:  # the counts of a started one can't be divided
                return self._split(child, same)
        siblings.append(Prefix(node, prompt, node.end, end))
        return siblings[-1]

    def _same(self, child: Prefix, prompt: list[int], end: int) -> int:
        """Up to where full pages of a prompt agree with a child whose first page it has."""
        most, at = min(child.end, end), child.begin + self.page_size
        while at < most and child.prompt[at : at + self.page_size] == prompt[at : at + self.page_size]:
            at += self.page_size
        return at

    def _split(self, node: Prefix, at: int) -> Prefix:
        """Divide a node that is not started; the new upper part."""
        assert node.parent is not None
        upper = Prefix(node.parent, node.prompt, node.begin, at, node.rows)
        siblings = self._siblings(node)
        siblings[siblings.index(node)] = upper
        node.parent, node.begin = upper, at
        upper.children[self._first_page(node)] = [node]
        return upper

    def _siblings(self, node: Prefix) -> list[Prefix]:
        assert node.parent is not None
        return node.parent.children[self._first_page(node)]

    def _first_page(self, node: Prefix) -> tuple[int, ...]:
        return tuple(node.prompt[node.begin : node.begin + self.page_size])


def nodes_below(node: Prefix) -> Iterator[Prefix]:
    """All nodes of a tree below `node`."""
    left = [*chain.from_iterable(node.children.values())]
    while left:
        yield (child := left.pop())
        left += chain.from_iterable(child.children.values())
