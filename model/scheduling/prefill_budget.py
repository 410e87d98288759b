"""How much of the prompts one step computes beside the rows that decode.

Work is counted in tokens without context: a token that attends to a long context counts for more.
"""

from dataclasses import dataclass

from model.config import ModelConfig


@dataclass(frozen=True)
class PrefillBudget:
    most: int  # tokens of a step in which few rows decode
    beside: int  # tokens, at least, where many do
    context: int  # with so many tokens before it, attention takes as long as all else that a token needs
    window: int | None = None  # how many of the tokens before it are seen at most; None: all

    @classmethod
    def of(cls, config: ModelConfig, most: int, beside: int) -> "PrefillBudget":
        """By operations: 4 H hd a layer and token of the context; 2 for each weight that a token meets."""
        chosen = config.num_experts_per_tok if config.num_experts else 1
        heads = (2 * config.num_heads + 2 * config.num_kv_heads) * config.head_dim
        weights = config.dim * (heads + 3 * chosen * config.ffn_dim)
        context = max(1, weights // (2 * config.num_heads * config.head_dim))
        return cls(most, beside, context, config.sliding_window)

    def of_step(self, decoding: int, slots: int) -> int:
        """Until half of the slots decode, filling them goes first; then those rows must not wait long."""
        return self.most if 2 * decoding < slots else min(self.most, max(self.beside, 2 * decoding))

    def work(self, begin: int, tokens: int) -> int:
        """Of so many tokens with `begin` tokens before them."""
        return tokens + tokens * (self._seen(begin) + tokens // 2) // self.context

    def tokens(self, work: int, begin: int) -> int:
        """The most tokens, `begin` tokens before them, that are about so much work."""
        return -(-work * self.context // (self.context + self._seen(begin)))

    def _seen(self, begin: int) -> int:
        return begin if self.window is None else min(begin, self.window)
