"""Rows that the engine and its peers are given, and how they are drawn."""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, pairwise, takewhile

import numpy as np

from model.requests.choice_scores import ChoiceScores
from model.requests.question_scores import Branch, QuestionScores
from model.requests.readout import Readout
from model.requests.request import Request
from model.sampling.sampling_params import SamplingParams


@dataclass(frozen=True)
class Workload:
    name: str
    prompts: list[list[int]]
    new_tokens: list[int]  # of each row; 0 where choices are scored
    choices: list[list[int]] | None = None
    instruction: list[int] = field(default_factory=list)  # with which all prompts begin
    shares_prefixes: bool = False  # whether peers look for prompts that begin alike, as the engine does
    allowed_tokens: int | None = None  # max_new_tokens of all rows; None: as many as each generates
    cache_tokens: int | None = None  # that the cache may hold; None: what the contender takes
    late: int = 0  # rows, the last ones, that arrive when all others decode
    questions: list[Branch] | None = None  # about each row, whose prompt is the text that they share

    def requests(self) -> list[Request]:
        scores: Readout | None = None if self.choices is None else ChoiceScores.of(self.choices)
        if self.questions is not None:
            scores = QuestionScores(self.questions)
        return [
            Request(
                str(row),
                prompt,
                SamplingParams(max_new_tokens=self.allowed_tokens or new_tokens, ignore_eos=True)
                if new_tokens
                else None,
                readout=scores,
                should_stop=at_token(new_tokens) if self.allowed_tokens else None,
            )
            for row, (prompt, new_tokens) in enumerate(zip(self.prompts, self.new_tokens, strict=True))
        ]

    @property
    def is_scored(self) -> bool:
        """Whether given continuations are scored; else tokens are generated."""
        return self.choices is not None or self.questions is not None

    def each_question(self) -> "list[Workload]":
        """One workload for each question, which asks it behind every text."""
        return [
            Workload(
                self.name,
                [[*prompt, *question.rest] for prompt in self.prompts],
                self.new_tokens,
                [*map(list, question.choices)],
            )
            for question in self.questions or []
        ]

    @property
    def question_tokens(self) -> int:
        """Of all rows, behind the texts."""
        return len(self.prompts) * sum(len(question.rest) for question in self.questions or [])

    @property
    def repeated_tokens(self) -> int:
        """Tokens of prompts with which another prompt begins too: they can be computed once."""
        if not self.shares_prefixes:
            return 0
        return sum(_alike(one, other) for one, other in pairwise(sorted(self.prompts)))

    @property
    def longest(self) -> int:
        """Tokens of the longest row: its prompt, and what it may generate or the longest choice."""
        further = [self.allowed_tokens or n for n in self.new_tokens]
        if self.choices is not None:
            further = [max(map(len, self.choices))] * len(self.prompts)
        if self.questions is not None:
            further = [QuestionScores(self.questions).further_tokens] * len(self.prompts)
        return max(len(p) + n for p, n in zip(self.prompts, further, strict=True))


def at_token(number: int) -> Callable[[int], bool]:
    """A row's should_stop: it ends with its token of this number, as random weights end no row."""
    seen = count(1)
    return lambda _: next(seen) >= number


def lengths_of(
    rng: np.random.Generator, rows: int, *, median: float, sigma: float, least: int, most: int
) -> list[int]:
    drawn = np.clip(rng.lognormal(np.log(median), sigma, rows).round(), least, most)
    lengths: list[int] = drawn.astype(int).tolist()
    return lengths


def random_tokens(rng: np.random.Generator, vocab_size: int, length: int) -> list[int]:
    """Any token but the first three, which checkpoints use for unknown, begin and end."""
    tokens: list[int] = rng.integers(3, vocab_size, length).tolist()
    return tokens


def _alike(one: list[int], other: list[int]) -> int:
    """Tokens with which both begin."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
