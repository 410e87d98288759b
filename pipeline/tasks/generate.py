"""What a job asks of the model for a row, and what it makes of the answer: one class a task."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import orjson

from model.requests.choice_scores import ChoiceScores
from model.requests.request import Completion, Request
from model.requests.row_routing import RowRouting
from model.sampling.sampling_params import SamplingParams
from pipeline.config.job import JobConfig
from pipeline.tasks.choice_tokens import choice_token_ids
from pipeline.text.detokenization import Detokenizer
from pipeline.text.tokenization import Tokenizer


@dataclass(frozen=True)
class Outcome:
    """A finished row, or the error that it ended with."""

    error_code: str | None = None
    error_message: str | None = None
    text: str | None = None
    finish_reason: str | None = None
    label: str | None = None
    label_prob: float | None = None
    label_probs: dict[str, float] | None = None
    token_ids: list[int] | None = None
    token_logprobs: list[float] | None = None
    routing: RowRouting | None = None


Finish = Callable[[Completion], Outcome]


class Task(Protocol):
    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        """The request of one row, and what turns its completion into the row's outcome."""

    def cache_tokens(self, context: int) -> int:
        """Places that the longest row may need in the cache, in a model with that context."""


class Generate:
    def __init__(self, tokenizer: Tokenizer | None, chat: bool) -> None:
        self._tokenizer = tokenizer
        self._chat = chat

    def cache_tokens(self, context: int) -> int:
        return context

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        values = orjson.loads(params or "{}")
        stop = values.pop("stop", [])
        text = None
        if self._tokenizer is not None:
            text = Detokenizer(self._tokenizer, stop, drop_leading_space=self._chat)
        request = Request(
            key,
            prompt_token_ids,
            SamplingParams(**values),
            should_stop=text.add if text is not None else None,
        )

        def finish(completion: Completion) -> Outcome:
            return Outcome(
                text=text.finish() if text is not None else None,
                finish_reason=completion.finish_reason,
                token_ids=completion.token_ids,
                token_logprobs=completion.logprobs,
                routing=completion.routing,
            )

        return request, finish


class Label:
    def __init__(self, choices: dict[str, list[int]]) -> None:
        self._names = list(choices)
        self._scores = ChoiceScores.of(list(choices.values()))

    @property
    def depth(self) -> int:
        """Tokens behind the prompt that the longest choice needs room for."""
        return self._scores.tree.depth

    def cache_tokens(self, context: int) -> int:
        return context - self.depth + len(self._scores.tree.token_ids)

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        return Request(key, prompt_token_ids, readout=self._scores), self._finish

    def _finish(self, completion: Completion) -> Outcome:
        probabilities = normalised(completion.answer)
        label_probs = dict(zip(self._names, probabilities, strict=True))
        label = max(label_probs, key=lambda name: label_probs[name])
        return Outcome(
            label=label,
            label_prob=label_probs[label],
            label_probs=label_probs,
            routing=completion.routing,
        )


def make_task(config: JobConfig, tokenizer: Tokenizer | None, chat: bool) -> Generate | Label:
    if config.label is None:
        return Generate(tokenizer, chat)
    assert tokenizer is not None
    return Label(choice_token_ids(tokenizer, config.label.choices, chat))


def normalised(logprobs: list[float]) -> list[float]:
    """Probabilities that are to each other as the exponentials of `logprobs`, and sum to 1."""
    largest = max(logprobs)
    weights = [math.exp(logprob - largest) for logprob in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights]
