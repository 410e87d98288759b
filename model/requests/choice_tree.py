"""A label's choices as a tree of tokens that is scored in one forward pass.

C choices, t nodes of the tree, V vocabulary. A node stands for a non-empty proper prefix of some choice: its
logits predict what follows that prefix. The last token of a choice is predicted but never fed.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class ChoiceTree:
    token_ids: list[int]  # [t]
    depths: list[int]  # [t], 0 right behind the prompt
    ancestors: Tensor  # [t, t] bool: which nodes a node sees, itself among them
    steps: list[
        list[tuple[int, int]]
    ]  # per choice: (node that predicts, or -1 for the prompt; token predicted)

    @classmethod
    def from_choices(cls, choices: list[list[int]]) -> "ChoiceTree":
        """ValueError if a choice is empty or stands twice."""
        if not choices or not all(choices):
            raise ValueError("choices must be non-empty lists of token ids")
        if len({tuple(choice) for choice in choices}) != len(choices):
            raise ValueError("choices must differ from each other in their token ids")
        nodes: dict[tuple[int, ...], int] = {}
        for choice in choices:
            for length in range(1, len(choice)):
                nodes.setdefault(tuple(choice[:length]), len(nodes))
        ancestors = torch.zeros(len(nodes), len(nodes), dtype=torch.bool)
        for prefix, node in nodes.items():
            for length in range(1, len(prefix) + 1):
                ancestors[node, nodes[prefix[:length]]] = True
        steps = [
            [(nodes.get(tuple(choice[:length]), -1), token) for length, token in enumerate(choice)]
            for choice in choices
        ]
        return cls([prefix[-1] for prefix in nodes], [len(prefix) - 1 for prefix in nodes], ancestors, steps)

    @property
    def depth(self) -> int:
        return max(self.depths, default=-1) + 1

    def logprobs(self, logits: Tensor) -> list[float]:
        """Logits at the prompt's last token and at every node, [1 + t, V] -> log-probability of each choice.

        A choice's probability is the product of the probabilities of its tokens, each over the whole
        vocabulary.
        """
        nodes = [node + 1 for choice in self.steps for node, _ in choice]
        tokens = [token for choice in self.steps for _, token in choice]
        logits = logits.double()
        chosen = logits[nodes, tokens] - logits.logsumexp(-1)[nodes]
        parts = chosen.split([len(choice) for choice in self.steps])
        return [float(part.sum()) for part in parts]


NO_CHOICES = ChoiceTree([], [], torch.zeros(0, 0, dtype=torch.bool), [])
