"""What the router did with one row, counted in NumPy arrays: reading and adding them up needs no torch.

L layers, E experts, K chosen per token. Sums of probabilities are in fixed point, round(x * 2^16), so that
adding them up is exact and the order does not matter.
"""

from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

FIXED_POINT = 1 << 16
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class RowRouting:
    """What the router did with one row; the first axis is the phase: prefill, decode.

    A pair is two consecutive tokens of the row; it belongs to the phase of the later one. `computed` counts
    the tokens that the network computed for the row: the nodes of a tree behind its prompt among them, and
    what was computed twice since memory was short. A prefix that rows share was computed for one of them.
    """

    tokens: Counts  # [2]
    computed: Counts  # [2]
    chosen: Counts  # [2, L, K, E] how often an expert was a token's k-th choice
    gate_q: Counts  # [2, L, K, E] gate weights of those choices
    prob_q: Counts  # [2, L, E] router probabilities of all tokens
    pairs: Counts  # [2, L, E, E] first choice, second choice
    next_pairs: Counts  # [2] pairs of consecutive tokens
    repeat_first: Counts  # [2, L] pairs with the same first choice
    repeat_any: Counts  # [2, L] pairs with any choice in common
    entropy_q: Counts  # [2, L] entropy of the router's probabilities, in nats

    def __add__(self, other: "RowRouting") -> "RowRouting":
        names = [field.name for field in fields(self)]
        return RowRouting(**{name: getattr(self, name) + getattr(other, name) for name in names})

    def only_computed(self) -> "RowRouting":
        """How many tokens were computed, and nothing else."""
        names = [field.name for field in fields(self) if field.name != "computed"]
        return replace(self, **{name: np.zeros_like(getattr(self, name)) for name in names})

    def not_computed(self) -> "RowRouting":
        """That of tokens which were computed for other rows, too."""
        return replace(self, computed=np.zeros_like(self.computed))
