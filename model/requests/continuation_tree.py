"""Token lists behind one prompt as a tree, and how likely the last tokens of each are, from its outputs.

N continuations, t nodes of their tree, Q tokens that are asked for. A node stands for a beginning of one or
more continuations: its outputs predict the token that comes next in them. The last token of a continuation is
predicted and never fed. Where an end is asked for it is fed, too, and its outputs predict the end.
"""

from collections.abc import Sequence
from itertools import chain, takewhile

import numpy as np
from numpy.typing import NDArray

from model.requests.readout import AskedTokens
from model.requests.token_tree import TokenTree


class ContinuationTree:
    """`tree` is what is computed behind the prompt, `asked` what is asked of the prompt's end and the nodes.

    order  the continuations, depth first in the tree
    """

    def __init__(
        self, continuations: Sequence[list[int]], end_ids: Sequence[int], scored_from: Sequence[int]
    ) -> None:
        """`scored_from`: of each continuation, the first token that is scored; those before it are given."""
        self.order = sorted(range(len(continuations)), key=continuations.__getitem__)
        token_ids: list[int] = []
        parents: list[int] = []
        asked: list[tuple[int, int]] = []  # (node that predicts, -1 for the prompt's end; the token)
        steps: list[list[int]] = [[] for _ in continuations]  # which of `asked` the scored tokens are
        ends: list[range] = [range(0) for _ in continuations]  # and the end ids
        before: Sequence[int] = ()
        nodes: list[int] = []  # of the continuation's tokens that are fed
        path: list[int | None] = []  # which of `asked` its tokens are; None: that is not asked up to now
        for which in self.order:
            continuation = continuations[which]
            shared = alike(before, continuation)
            del nodes[shared:], path[shared:]
            for i in range(len(nodes), len(continuation) if end_ids else len(continuation) - 1):
                parents.append(nodes[-1] if nodes else -1)
                nodes.append(len(token_ids))
                token_ids.append(continuation[i])
            path += [None] * (len(continuation) - len(path))
            for i in range(scored_from[which], len(continuation)):
                if (step := path[i]) is None:
                    path[i] = step = len(asked)
                    asked.append((nodes[i - 1] if i else -1, continuation[i]))
                steps[which].append(step)
            ends[which] = range(len(asked), len(asked) + len(end_ids))
            asked += [(nodes[-1], token) for token in end_ids]
            before = continuation
        predicting, tokens = np.array(asked).T
        order = predicting.argsort(kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self.tree = TokenTree(token_ids, parents)
        self.asked = AskedTokens(predicting[order] + 1, tokens[order])
        self._steps: NDArray[np.int64] = place[[*chain.from_iterable(steps)]]  # of all continuations
        self._starts = np.cumsum([0, *map(len, steps)])[:-1]
        self._ends: NDArray[np.int64] = place[np.array(ends, dtype=np.int64)]  # [N, end ids]

    def scores(self, logprobs: NDArray[np.float64]) -> list[float]:
        """Log-probabilities of what is asked, [Q] -> of each continuation's scored tokens, [N].

        Their probability is the product of their probabilities, each over the whole vocabulary, and of the
        end's. The probabilities of all end ids are added up.
        """
        scores: NDArray[np.float64] = np.add.reduceat(logprobs[self._steps], self._starts)
        if self._ends.size:
            scores = scores + np.logaddexp.reduce(logprobs[self._ends], axis=1)
        return [*map(float, scores)]


def alike(one: Sequence[int], other: Sequence[int]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
