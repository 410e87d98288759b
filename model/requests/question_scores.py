"""How likely the choices of several questions about one text are, all of them from one forward pass.

The text is the prompt. Each question is a branch behind it: the rest of the question's own prompt, and behind
that its choices. A branch sees the text and itself, at the positions that it would have alone, so that the
scores are those of the question by itself.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.requests.choice_scores import MOST_NODES, ChoiceScores, ScoreReading
from model.requests.continuation_tree import ContinuationTree
from model.requests.readout import Head, Reading, Readout


@dataclass(frozen=True)
class Branch:
    """A question behind the text."""

    rest: tuple[int, ...]  # of its prompt, behind the tokens that the prompts of all questions share
    choices: tuple[tuple[int, ...], ...]

    @property
    def most_nodes(self) -> int:
        """Tokens that it takes to compute it behind the text; fewer where choices begin alike."""
        return len(self.rest) + sum(map(len, self.choices))


class QuestionScores(Readout):
    """The answer has each choice's log-probability, branch by branch: list[list[float]].

    One forward pass computes branches of MOST_NODES nodes together. A branch that alone has more is no tree:
    its rest becomes the end of a prompt, behind which there are its choices.
    """

    head = Head.LOGPROBS

    def __init__(
        self, branches: Sequence[Branch], end_ids: Collection[int] = (), apart: bool = False
    ) -> None:
        """With `end_ids`: the probability of the choice and, right behind it, one of these.

        `apart`: every branch is computed as a prompt of its own. It must be so if the branches share no text.

        ValueError if there is no branch, or one without choices, or an empty choice.
        """
        if not branches or not all(branch.choices and all(branch.choices) for branch in branches):
            raise ValueError("each branch must have choices, which are non-empty lists of token ids")
        self.branches = branches
        self.end_ids = sorted(set(end_ids))
        self._groups = _groups(branches, apart)
        self._is_tree = len(self._groups) == 1 and not self._groups[0].is_prompt
        if self._is_tree:
            paths = [[*branch.rest, *choice] for branch in branches for choice in branch.choices]
            scored_from = [len(branch.rest) for branch in branches for _ in branch.choices]
            self._behind = ContinuationTree(paths, self.end_ids, scored_from)
            self.tree, self.asked = self._behind.tree, self._behind.asked

    @property
    def further_tokens(self) -> int:
        depths = (len(branch.rest) + max(map(len, branch.choices)) for branch in self.branches)
        return max(depths) - (not self.end_ids)

    @property
    def parts(self) -> Sequence[Readout]:
        return [self] if self._is_tree else [part for readout in self._readouts for part in readout.parts]

    def join(self, answers: Sequence[Any]) -> list[list[float]]:
        if self._is_tree:
            [answer] = answers
            return [*answer]
        of_branch: dict[int, list[float]] = {}
        left = iter(answers)
        for group, readout in zip(self._groups, self._readouts, strict=True):
            joined = readout.join([*islice(left, len(readout.parts))])
            of_branch.update(zip(group.which, [joined] if group.is_prompt else joined, strict=True))
        return [of_branch[which] for which in range(len(self.branches))]

    def start(self, stream: str, config: ModelConfig) -> Reading:
        return ScoreReading(self.scores)

    def scores(self, logprobs: NDArray[np.float64]) -> list[list[float]]:
        """Log-probabilities of what is asked, of a tree -> those of each branch's choices."""
        scores = iter(self._behind.scores(logprobs))
        return [[*islice(scores, len(branch.choices))] for branch in self.branches]

    @cached_property
    def _readouts(self) -> list[Readout]:
        """One for each group."""
        return [
            _behind_own_prompt(self.branches[group.which[0]], self.end_ids)
            if group.is_prompt
            else QuestionScores([self.branches[which] for which in group.which], self.end_ids)
            for group in self._groups
        ]


@dataclass(frozen=True)
class _Group:
    """Branches that are computed together, or one that is a prompt of its own."""

    which: list[int]
    is_prompt: bool = False


def _groups(branches: Sequence[Branch], apart: bool) -> list[_Group]:
    groups: list[_Group] = []
    room = 0  # for nodes, in the last group
    for which, branch in enumerate(branches):
        nodes = branch.most_nodes
        if apart or nodes > MOST_NODES:
            groups.append(_Group([which], is_prompt=True))
            room = 0
        elif nodes <= room:
            groups[-1].which.append(which)
            room -= nodes
        else:
            groups.append(_Group([which]))
            room = MOST_NODES - nodes
    return groups


def _behind_own_prompt(branch: Branch, end_ids: list[int]) -> ChoiceScores:
    scores = ChoiceScores([[*choice] for choice in branch.choices], end_ids)
    for part in scores.parts:
        part.lead, part.reach = branch.rest, len(branch.rest) + scores.further_tokens
    return scores
