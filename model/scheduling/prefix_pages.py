"""Which shared prefixes are in the cache. One that no running row reads stays until its pages are wanted."""

from collections.abc import Collection, Iterable
from itertools import accumulate

from model.scheduling.pages import PageAllocator
from model.scheduling.prefix_tree import Prefix


class PrefixPages:
    def __init__(self, slots: Iterable[int], pages: PageAllocator, page_size: int) -> None:
        self.free_slots = list(slots)  # of the routing counters
        self.pages = pages
        self.page_size = page_size
        self.forgotten: list[int] = []  # slots whose counts nobody has taken
        self.read = 0  # pages of prefixes that running rows read
        self.unread = 0
        self._unread: dict[Prefix, None] = {}  # longest unread first

    def with_slots(self, path: list[Prefix]) -> list[Prefix]:
        """The beginning of a path for which there are slots, if all else that is unread were forgotten."""
        free = len(self.free_slots) + len(self._unread)
        taken = accumulate(not node.readers for node in path)
        return [node for node, slots in zip(path, taken, strict=True) if slots <= free]

    def missing(self, path: list[Prefix]) -> int:
        """Pages to take for what of a path is not started."""
        return sum(self._size(one) for one in path if not one.started)

    def unread_of(self, path: list[Prefix]) -> int:
        """Pages of what of a path is there and read by nobody."""
        return sum(len(one.pages) for one in path if one.started and not one.readers)

    def hold(self, path: list[Prefix]) -> None:
        """A row begins to read a path, for which there is room. What of it is not there is started."""
        for node in path:
            if not node.started:
                node.slot, node.cached = self.free_slots.pop(), node.begin
                node.pages = self.pages.take(self._size(node))
                self.read += len(node.pages)
            elif not node.readers:
                del self._unread[node]
                self.unread -= len(node.pages)
                self.read += len(node.pages)
            node.readers += 1

    def release(self, path: list[Prefix]) -> None:
        """A row reads a path no more."""
        for node in reversed(path):  # what lies below must be dropped first
            node.readers -= 1
            if not node.readers:
                self._unread[node] = None
                self.read -= len(node.pages)
                self.unread += len(node.pages)

    def make_room(self, pages: int, slots: int, kept: Collection[Prefix] = ()) -> None:
        """Forget what has been unread for longest until so many pages and slots are free."""
        for node in [*self._unread]:
            if self.pages.free >= pages and len(self.free_slots) >= slots:
                return
            if node not in kept:
                self.drop(node)

    def drop(self, node: Prefix) -> None:
        """Forget a node that nobody reads."""
        del self._unread[node]
        if node.routing is None:
            self.forgotten.append(node.slot)
        self.unread -= len(node.pages)
        self.pages.give(node.pages)
        self.free_slots.append(node.slot)
        node.pages, node.slot, node.routing = [], -1, None

    def _size(self, node: Prefix) -> int:
        return (node.end - node.begin) // self.page_size
