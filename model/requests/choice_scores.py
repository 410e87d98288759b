"""How likely each of several continuations of a prompt is, all of them from one forward pass.

C choices, t nodes of their tree, V vocabulary. A node stands for a beginning of one or more choices: its
logits predict the token that comes next in them. The last token of a choice is predicted and never fed. Where
an end is asked for it is fed, too, and its logits predict the end.
"""

import math
from collections.abc import Collection, Sequence
from functools import cached_property
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.requests.readout import AskedTokens, Head, Reading, Readout
from model.requests.token_tree import TokenTree

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor

MOST_NODES = 4096  # of the tree that one forward pass computes, unless a single choice is longer


class ChoiceScores(Readout):
    """The answer is each choice's log-probability among all continuations there are: list[float], [C]."""

    head = Head.LOGPROBS

    def __init__(self, choices: list[list[int]], end_ids: list[int]) -> None:
        self.choices = choices
        self.end_ids = end_ids
        self._order = sorted(range(len(choices)), key=choices.__getitem__)  # depth first in the tree
        self._build()

    @classmethod
    def of(cls, choices: list[list[int]], end_ids: Collection[int] = ()) -> "ChoiceScores":
        """Score `choices` and, where `end_ids` are given, that one of these comes right behind the choice.

        The probabilities of all end ids are added up. ValueError if a choice is empty or stands twice.
        """
        if not choices or not all(choices):
            raise ValueError("choices must be non-empty lists of token ids")
        if len({tuple(choice) for choice in choices}) != len(choices):
            raise ValueError("choices must differ from each other in their token ids")
        return cls(choices, sorted(set(end_ids)))

    @cached_property
    def named_token_ids(self) -> list[int]:
        return sorted({*self.asked.token_ids.tolist()})

    @property
    def computed_tokens(self) -> int:
        """Nodes that all forward passes compute behind a prompt, which each of them computes anew."""
        return sum(len(part.tree.token_ids) for part in self.parts)

    @property
    def largest_tree(self) -> int:
        """Nodes that one forward pass computes at most."""
        return max(len(part.tree.token_ids) for part in self.parts)

    @cached_property
    def parts(self) -> Sequence["ChoiceScores"]:
        """Each has some of the choices: neighbours in the tree, up to MOST_NODES nodes."""
        groups: list[list[int]] = []
        before: list[int] = []
        nodes = 0
        for which in self._order:
            choice = self.choices[which]
            new = len(choice) - _shared(before, choice)
            if not groups or nodes + new > MOST_NODES:
                groups.append([])
                nodes, new = 0, len(choice)
            groups[-1].append(which)
            nodes, before = nodes + new, choice
        if len(groups) == 1:
            return [self]
        return [ChoiceScores([self.choices[which] for which in group], self.end_ids) for group in groups]

    def join(self, answers: Sequence[list[float]]) -> list[float]:
        return [score for _, score in sorted(zip(self._order, chain.from_iterable(answers), strict=True))]

    def start(self, key: str, config: ModelConfig) -> Reading:
        return _ChoiceReading(self)

    def scores(self, logprobs: NDArray[np.float64]) -> list[float]:
        """Log-probabilities of what is asked, [Q] -> of each choice, [C].

        A choice's probability is the product of the probabilities of its tokens, each over the whole
        vocabulary, and of its end.
        """
        scores: NDArray[np.float64] = np.add.reduceat(logprobs[self._steps], self._starts)
        if self.end_ids:
            scores = scores + np.logaddexp.reduce(logprobs[self._ends], axis=1)
        return [*map(float, scores)]

    def _build(self) -> None:
        """The tree, what is asked of it, and where in that each choice's tokens and its end stand."""
        token_ids: list[int] = []
        parents: list[int] = []
        asked: list[tuple[int, int]] = []  # (node that predicts, -1 for the prompt's end; the token)
        steps: list[list[int]] = [[] for _ in self.choices]  # which of `asked` each choice's tokens are
        ends: list[range] = [range(0) for _ in self.choices]  # and its end ids
        before: list[int] = []
        nodes: list[int] = []  # of the choice's tokens that are fed
        path: list[int] = []  # which of `asked` the choice's tokens are
        for which in self._order:
            choice = self.choices[which]
            shared = _shared(before, choice)
            del nodes[shared:], path[shared:]
            for i in range(len(nodes), len(choice) if self.end_ids else len(choice) - 1):
                parents.append(nodes[-1] if nodes else -1)
                nodes.append(len(token_ids))
                token_ids.append(choice[i])
            for i in range(len(path), len(choice)):
                path.append(len(asked))
                asked.append((nodes[i - 1] if i else -1, choice[i]))
            steps[which] = [*path]
            ends[which] = range(len(asked), len(asked) + len(self.end_ids))
            asked += [(nodes[-1], token) for token in self.end_ids]
            before = choice
        predicting, tokens = np.array(asked).T
        order = predicting.argsort(kind="stable")
        place = np.empty_like(order)
        place[order] = np.arange(len(order))
        self.tree = TokenTree(token_ids, parents)
        self.asked = AskedTokens(predicting[order] + 1, tokens[order])
        self._steps: NDArray[np.int64] = place[[*chain.from_iterable(steps)]]  # choice by choice
        self._starts = np.cumsum([0, *map(len, steps)])[:-1]
        self._ends: NDArray[np.int64] = place[np.array(ends, dtype=np.int64)]  # [C, end ids]


class _ChoiceReading(Reading):
    def __init__(self, readout: ChoiceScores) -> None:
        self.readout = readout

    @classmethod
    def take(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> list[bool]:
        logprobs = outputs.numpy()
        for reading, part in zip(readings, parts, strict=True):
            reading.answer = reading.readout.scores(logprobs[part])
        return [True] * len(readings)


def _shared(one: list[int], other: list[int]) -> int:
    """How many tokens both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def normalised(logprobs: list[float]) -> list[float]:
    """Probabilities that are to each other as the exponentials of `logprobs`, and sum to 1."""
    largest = max(logprobs)
    weights = [math.exp(logprob - largest) for logprob in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights]


def mass(logprobs: list[float]) -> float:
    """The probability of all choices together, from 0 to 1."""
    return min(1.0, math.fsum(map(math.exp, logprobs)))
