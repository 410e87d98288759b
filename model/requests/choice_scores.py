"""How likely each of several continuations of a prompt is, all of them from one forward pass.

C choices, t nodes of their tree, V vocabulary. A node stands for a beginning of one or more choices: its
logits predict the token that comes next in them. The last token of a choice is predicted and never fed. Where
an end is asked for it is fed, too, and its logits predict the end.
"""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np

from model.requests.readout import OnePassReadout
from model.requests.token_tree import TokenTree

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor


class ChoiceScores(OnePassReadout):
    """The answer is each choice's log-probability among all continuations there are: list[float], [C]."""

    def __init__(
        self, tree: TokenTree, steps: list[list[tuple[int, int]]], ends: list[int], end_ids: list[int]
    ) -> None:
        self.tree = tree
        # Of each choice, token by token: (the node that predicts it, -1 for the prompt's end; the token).
        self.steps = steps
        self.ends = ends  # [C] the node of each choice's last token; empty if no end is asked for
        self.end_ids = end_ids

    @classmethod
    def of(cls, choices: list[list[int]], end_ids: Collection[int] = ()) -> "ChoiceScores":
        """Score `choices` and, where `end_ids` are given, that one of these comes right behind the choice.

        The probabilities of all end ids are added up. ValueError if a choice is empty or stands twice.
        """
        if not choices or not all(choices):
            raise ValueError("choices must be non-empty lists of token ids")
        if len({tuple(choice) for choice in choices}) != len(choices):
            raise ValueError("choices must differ from each other in their token ids")
        nodes: dict[tuple[int, ...], int] = {}  # the tokens that lead to a node, its own last -> its number
        for choice in choices:
            for length in range(1, len(choice) + bool(end_ids)):
                nodes.setdefault(tuple(choice[:length]), len(nodes))
        ancestors = np.zeros((len(nodes), len(nodes)), dtype=np.bool_)
        for tokens, node in nodes.items():
            for length in range(1, len(tokens) + 1):
                ancestors[node, nodes[tokens[:length]]] = True
        tree = TokenTree([tokens[-1] for tokens in nodes], [len(tokens) - 1 for tokens in nodes], ancestors)
        steps = [
            [(nodes.get(tuple(choice[:length]), -1), token) for length, token in enumerate(choice)]
            for choice in choices
        ]
        ends = [nodes[tuple(choice)] for choice in choices] if end_ids else []
        return cls(tree, steps, ends, sorted(set(end_ids)))

    @property
    def named_token_ids(self) -> list[int]:
        return [*(token for choice in self.steps for _, token in choice), *self.end_ids]

    def make_answer(self, outputs: "Tensor") -> list[float]:
        """Logits at the prompt's last token and at every node, [1 + t, V] -> [C].

        A choice's probability is the product of the probabilities of its tokens, each over the whole
        vocabulary, and of its end.
        """
        nodes = [node + 1 for choice in self.steps for node, _ in choice]
        tokens = [token for choice in self.steps for _, token in choice]
        logits = outputs.double()
        totals = logits.logsumexp(-1)
        parts = (logits[nodes, tokens] - totals[nodes]).split([len(choice) for choice in self.steps])
        scores = [float(part.sum()) for part in parts]
        if not self.ends:
            return scores
        last = [node + 1 for node in self.ends]
        ends = logits[last][:, self.end_ids].logsumexp(-1) - totals[last]
        return [score + end for score, end in zip(scores, ends.tolist(), strict=True)]
