"""How likely each of several continuations of a prompt is, all of them from one forward pass.

C choices, t nodes of their tree, V vocabulary. A node stands for a beginning of one or more choices: it is
some choice's tokens but for the last one, or fewer. Its logits predict the token that comes next in the
choice. The last token of a choice is predicted and never fed.
"""

from typing import TYPE_CHECKING

import numpy as np

from model.requests.readout import OnePassReadout
from model.requests.token_tree import TokenTree

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor


class ChoiceScores(OnePassReadout):
    """The answer is each choice's log-probability among all continuations there are: list[float], [C]."""

    def __init__(self, tree: TokenTree, steps: list[list[tuple[int, int]]]) -> None:
        self.tree = tree
        # Of each choice, token by token: (the node that predicts it, -1 for the prompt's end; the token).
        self.steps = steps

    @classmethod
    def of(cls, choices: list[list[int]]) -> "ChoiceScores":
        """ValueError if a choice is empty or stands twice."""
        if not choices or not all(choices):
            raise ValueError("choices must be non-empty lists of token ids")
        if len({tuple(choice) for choice in choices}) != len(choices):
            raise ValueError("choices must differ from each other in their token ids")
        nodes: dict[tuple[int, ...], int] = {}  # the tokens that lead to a node, its own last -> its number
        for choice in choices:
            for length in range(1, len(choice)):
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
        return cls(tree, steps)

    @property
    def named_token_ids(self) -> list[int]:
        return [token for choice in self.steps for _, token in choice]

    def make_answer(self, outputs: "Tensor") -> list[float]:
        """Logits at the prompt's last token and at every node, [1 + t, V] -> [C].

        A choice's probability is the product of the probabilities of its tokens, each over the whole
        vocabulary.
        """
        nodes = [node + 1 for choice in self.steps for node, _ in choice]
        tokens = [token for choice in self.steps for _, token in choice]
        logits = outputs.double()
        chosen = logits[nodes, tokens] - logits.logsumexp(-1)[nodes]
        parts = chosen.split([len(choice) for choice in self.steps])
        return [float(part.sum()) for part in parts]
