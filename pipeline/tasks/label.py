"""Task label: each row is given one of the job's choices, with the probability of every choice."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, WithJsonSchema, model_validator

from model.requests.choice_scores import ChoiceScores
from model.requests.request import Completion, Request
from pipeline.config.section import Section
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.task import Asked, Finish, Outcome, RowRequests, Task
from pipeline.text.choice_tokens import REMEMBERED, Choices, ChoiceTokens
from pipeline.text.prompt_format import PromptFormat

# What a job file may hold. Validation turns a list into a mapping of each text to itself.
_AS_WRITTEN = {
    "anyOf": [
        {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "additionalProperties": {"type": "string"}, "minProperties": 2},
    ]
}


class LabelSection(Section):
    """The labels that a row may get."""

    choices: Annotated[dict[str, str], WithJsonSchema(_AS_WRITTEN, mode="validation")] = Field(
        description="The labels, at least two: a list of texts, or a mapping of each label's name to the "
        "text by which the model says it.",
        examples=[["billing", "shipping", "returns"], {"positive": "good", "negative": "bad"}],
    )
    known_column: str | None = Field(
        default=None,
        description="One of the `input.keep` columns, which holds the right labels: the report then gives "
        "the accuracy.",
        examples=["queue"],
    )

    @model_validator(mode="before")
    @classmethod
    def _names_stand_for_themselves(cls, data: Any) -> Any:
        choices = data.get("choices") if isinstance(data, dict) else None
        if isinstance(choices, list | dict):
            for choice in choices:  # of a mapping, the names
                if not isinstance(choice, str | int) or isinstance(choice, bool):
                    hint = " (YAML reads yes, no, on, off as booleans)" if isinstance(choice, bool) else ""
                    raise ValueError(f"each must be text, got {choice!r}{hint}: put it in quotes")
        if isinstance(choices, list):
            if len(set(map(str, choices))) != len(choices):
                raise ValueError(f"choices must differ from each other, got {choices}")
            return {**data, "choices": {str(choice): str(choice) for choice in choices}}
        return data

    @model_validator(mode="after")
    def _at_least_two(self) -> "LabelSection":
        if len(self.choices) < 2:
            raise ValueError(f"choices must be at least two, got {list(self.choices)}")
        if len(set(self.choices.values())) != len(self.choices):
            raise ValueError("two choices have the same text, so no model could tell them apart")
        return self


class Label(Task[LabelSection]):
    section_name = "label"
    section_model = LabelSection
    columns = (
        ("label", pa.string()),
        ("label_prob", pa.float64()),
        ("label_probs", pa.map_(pa.string(), pa.float64())),
    )
    free_names = frozenset({"text"})  # the row's text is what people label, and what they keep

    @classmethod
    def check(cls, section: LabelSection, kept_columns: Sequence[str]) -> None:
        if section.known_column not in (None, *kept_columns):
            raise ValueError(f"label.known_column {section.known_column!r} must be one of input.keep")

    def requests(self, prompt_format: PromptFormat) -> "LabelRows":
        return LabelRows(prompt_format, self.section.choices)

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        if self.section.known_column is None:
            return 0, 0
        labels, answers = rows["label"].to_pylist(), rows[self.section.known_column].to_pylist()
        right = [
            label == str(answer)
            for label, answer in zip(labels, answers, strict=True)
            if label is not None and answer is not None
        ]
        return len(right), sum(right)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        known, right = totals["known"], totals["right"]
        return [("accuracy on known labels", f"{right / known:.2%}")] if known else []


# A prompt's last word may have other tokens with a choice behind it; so many more are left room for.
_WORD = 4


class LabelRows(RowRequests):
    def __init__(self, prompt_format: PromptFormat, choices: Mapping[str, str]) -> None:
        self._names = list(choices)
        self._tokens = ChoiceTokens(prompt_format, choices)
        self._end_ids = prompt_format.end_ids
        self._scores = lru_cache(maxsize=REMEMBERED)(self._make_scores)
        trees = [self._make_scores(choices).tree for choices in self._tokens.typical]
        self._depth = max(tree.depth for tree in trees) + _WORD
        self._nodes = max(len(tree.token_ids) for tree in trees) + _WORD

    def longest_prompt(self, context: int) -> int:
        room = context - self._depth
        if room < 1:
            raise ConfigError(
                f"label.choices: the longest takes {context - room} tokens, the context {context}"
            )
        return room

    def cache_tokens(self, context: int) -> int:
        return context - self._depth + self._nodes

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        prompt, choices = self._tokens.behind(prompt_token_ids)
        scores = self._scores(choices)
        if len(prompt) + scores.tree.depth > len(prompt_token_ids) + self._depth:
            raise RowError(
                RowErrorCode.PROMPT_TOO_LONG,
                f"the prompt's last word takes more than {_WORD} tokens more with a choice behind it",
            )
        return Request(key, prompt, readout=scores), self._finish

    def asked(self, prompt_token_ids: list[int], params: str | None) -> Asked:
        prompt, choices = self._tokens.behind(prompt_token_ids)
        return Asked(prompt, dict(zip(self._names, choices.token_ids, strict=True)), at_end_ids=True)

    def _make_scores(self, choices: Choices) -> ChoiceScores:
        return ChoiceScores.of([list(ids) for ids in choices.token_ids], self._end_ids)

    def _finish(self, completion: Completion) -> Outcome:
        probabilities = dict(zip(self._names, normalised(completion.answer), strict=True))
        label = max(probabilities, key=lambda name: probabilities[name])
        values = {
            "label": label,
            "label_prob": probabilities[label],
            "label_probs": list(probabilities.items()),
        }
        return Outcome(values=values, routing=completion.routing)


def normalised(logprobs: list[float]) -> list[float]:
    """Probabilities that are to each other as the exponentials of `logprobs`, and sum to 1."""
    largest = max(logprobs)
    weights = [math.exp(logprob - largest) for logprob in logprobs]
    total = sum(weights)
    return [weight / total for weight in weights]
