"""What later tokens still see of a row with a sliding window, and so how much of the cache the row holds.

A token sees the last few tokens up to itself, and no others. A page of the cache whose tokens no token to
come sees is passed: the row gives it back while it runs. So what a row holds is bounded however long it
becomes (the rolling buffer of Mistral 7B, arXiv 2310.06825, section 2). Positions stay those in the row.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SlidingWindow:
    """Pages of one row; without a window none is ever passed."""

    size: int | None  # tokens that a token sees, itself among them; None: all before it
    page_size: int  # tokens

    def first_seen(self, trunk: int) -> int:
        """Of so many tokens of a row, the first that the last one sees."""
        return max(trunk - self.size, 0) if self.size else 0

    def hides(self, reach: int) -> bool:
        """Whether, of tokens at positions below `reach`, any sees less than all before it."""
        return self.size is not None and reach > self.size

    def passed(self, cached: int) -> int:
        """How many of a row's first pages no token sees that stands behind so many."""
        return self.first_seen(cached + 1) // self.page_size

    @property
    def most(self) -> int | None:
        """Pages that a row holds at most while it decodes: the window begins anywhere in its first page."""
        return None if self.size is None else self.whole(self.size - 1) + 1

    def whole(self, tokens: int) -> int:
        """Pages of so many tokens that begin with a page."""
        return max(0, -(-tokens // self.page_size))

    def held(self, tokens: int) -> int:
        """Pages that a row holds of its tokens, at most, when it has grown to so many one by one."""
        pages = self.whole(tokens)
        return pages if self.most is None else min(pages, self.most)

    def prefilled(self, tokens: int) -> int:
        """Pages that a prompt of so many tokens takes at most while it is computed, in parts or whole.

        A part reads the last window before it and keeps its own last window.
        """
        pages = self.whole(tokens)
        return pages if self.most is None else min(pages, 2 * self.most)

    def needed_tokens(self, tokens: int) -> int:
        """Tokens of cache without which no row of so many tokens can run."""
        return tokens if self.size is None else min(tokens, self.prefilled(tokens) * self.page_size)
