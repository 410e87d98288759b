"""How likely each of several continuations of a prompt is, all of them from one forward pass.

C choices. `model.requests.continuation_tree` makes a tree of them.
"""

import math
from collections.abc import Callable, Collection, Sequence
from functools import cached_property
from itertools import chain
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.requests.continuation_tree import ContinuationTree, alike
from model.requests.readout import Head, Reading, Readout

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor

MOST_NODES = 4096  # of the tree that one forward pass computes, unless a single choice is longer


class ChoiceScores(Readout):
    """The answer is each choice's log-probability among all continuations there are: list[float], [C]."""

    head = Head.LOGPROBS

    def __init__(self, choices: list[list[int]], end_ids: list[int]) -> None:
        self.choices = choices
        self.end_ids = end_ids
        self._behind = ContinuationTree(choices, end_ids, [0] * len(choices))
        self.tree, self.asked = self._behind.tree, self._behind.asked

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
        for which in self._behind.order:
            choice = self.choices[which]
            new = len(choice) - alike(before, choice)
            if not groups or nodes + new > MOST_NODES:
                groups.append([])
                nodes, new = 0, len(choice)
            groups[-1].append(which)
            nodes, before = nodes + new, choice
        if len(groups) == 1:
            return [self]
        return [ChoiceScores([self.choices[which] for which in group], self.end_ids) for group in groups]

    def join(self, answers: Sequence[list[float]]) -> list[float]:
        if len(answers) == 1:
            return answers[0]
        in_tree = zip(self._behind.order, chain.from_iterable(answers), strict=True)
        return [score for _, score in sorted(in_tree)]

    def start(self, key: str, config: ModelConfig) -> Reading:
        return ScoreReading(self.scores)

    def scores(self, logprobs: NDArray[np.float64]) -> list[float]:
        """Log-probabilities of what is asked -> of each choice, [C]: see `ContinuationTree.scores`."""
        return self._behind.scores(logprobs)


class ScoreReading(Reading):
    """Ends with the prefill; `scores` makes the answer of the log-probabilities of what is asked."""

    def __init__(self, scores: Callable[[NDArray[np.float64]], Any]) -> None:
        self.scores = scores

    @classmethod
    def take(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> list[bool]:
        logprobs = outputs.numpy()
        for reading, part in zip(readings, parts, strict=True):
            reading.answer = reading.scores(logprobs[part])
        return [True] * len(readings)


def normalised(logprobs: list[float]) -> list[float]:
    """Probabilities that are to each other as the exponentials of `logprobs`, and sum to 1."""
    largest = max(logprobs)
    weights = [math.exp(logprob - largest) for logprob in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights]


def mass(logprobs: list[float]) -> float:
    """The probability of all choices together, from 0 to 1."""
    return min(1.0, math.fsum(map(math.exp, logprobs)))
