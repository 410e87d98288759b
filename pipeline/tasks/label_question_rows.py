"""What task label asks the model for each row where there are questions, and what it makes of the answers."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from model.requests.continuation_tree import alike
from model.requests.question_scores import Branch, QuestionScores
from model.requests.request import Completion, Request
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.row_requests import Asked, Finish, Outcome, RowRequests
from pipeline.tasks.label_prior import PriorPrompts
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_rows import WORD
from pipeline.tasks.label_trust import NEEDS_REVIEW
from pipeline.text.choice_tokens import REMEMBERED, Choices, ChoiceTokens
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.question_prompts import shared_and_rests

# Of one question: its prompt, as far as its ids stay with a choice behind it, and the choices' own ids.
PromptAndChoices = tuple[list[int], Choices]


class QuestionRows(RowRequests):
    """`apart`: each question is computed as a prompt of its own, and not behind what the prompts share."""

    def __init__(self, prompt_format: PromptFormat, questions: Sequence[Question], apart: bool) -> None:
        self._questions = [*questions]
        self._tokens = [ChoiceTokens(prompt_format, q.choices, q.key) for q in questions]
        self._end_ids = prompt_format.end_ids
        self._apart = apart
        self._scores = lru_cache(maxsize=REMEMBERED)(self._make_scores)
        typical = [[_depth(choices) for choices in tokens.typical] for tokens in self._tokens]
        self._depths = [max(depths) + WORD for depths in typical]
        self._priors = PriorPrompts(question.trust.calibration for question in questions)

    def longest_prompt(self, context: int) -> int:
        deepest = max(self._depths)
        if context - deepest < 1:
            key = self._questions[self._depths.index(deepest)].key
            raise ConfigError(f"{key}: the longest takes {deepest} tokens, the context {context}")
        room = context - deepest
        self._priors.require_room(room)
        self.first_requests()  # which may be refused for other reasons
        return room

    def cache_tokens(self, context: int) -> int:
        return 0

    def first_requests(self) -> list[Request]:
        """All questions behind each prompt without content that any of them is calibrated by."""
        return self._priors.requests(self.start)

    def name_first_answers(self, answers: Sequence[Any]) -> dict[str, Any]:
        """Those of `first_requests`: by calibrated question, prior text and choice, log-probabilities."""
        found = dict(zip(self._priors.texts, answers, strict=True))
        return {
            question.name or "": {
                text: question.named(found[text][number]) for text in question.trust.calibration.prompts
            }
            for number, question in enumerate(self._questions)
            if question.trust.calibration.prompts
        }

    def take_first_answers(self, named: Mapping[str, Any]) -> None:
        for number, question in enumerate(self._questions):
            if question.trust.calibration.prompts:
                self._questions[number] = question.knowing(named[question.name or ""])

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        text, rests = shared_and_rests(prompt_token_ids, params)
        each = self._tokens_of_each(text, rests)
        for rest, (prompt, choices), depth in zip(rests, each, self._depths, strict=True):
            if len(prompt) + _depth(choices) > len(text) + len(rest) + depth:
                raise RowError(
                    RowErrorCode.PROMPT_TOO_LONG,
                    f"the last word of a question takes more than {WORD} tokens more with a choice behind it",
                )
        shared = _shared([prompt for prompt, _ in each])
        branches = tuple(Branch(tuple(prompt[shared:]), choices.token_ids) for prompt, choices in each)
        readout = self._scores(branches, self._apart or not shared)
        return Request(key, each[0][0][:shared], readout=readout), self._finish

    def asked_of_each(self, prompt_token_ids: list[int], params: str | None) -> list[Asked]:
        text, rests = shared_and_rests(prompt_token_ids, params)
        each = self._tokens_of_each(text, rests)
        shared = 0 if self._apart else _shared([prompt for prompt, _ in each])
        return [
            Asked(
                prompt,
                dict(zip(question.choices, choices.token_ids, strict=True)),
                at_end_ids=True,
                name=question.name or "",
                given=[*text, *rest],
                shared=shared,
            )
            for question, rest, (prompt, choices) in zip(self._questions, rests, each, strict=True)
        ]

    def facts(self) -> list[tuple[str, str]]:
        choices = sum(len(question.choices) for question in self._questions)
        how = "each in a pass of its own" if self._apart else "in one pass"
        asked = f"{len(self._questions):,} with {choices:,} choices, {how}"
        return [("questions", asked), *self._priors.facts()]

    def _tokens_of_each(self, text: list[int], rests: list[list[int]]) -> list[PromptAndChoices]:
        return [tokens.behind([*text, *rest]) for tokens, rest in zip(self._tokens, rests, strict=True)]

    def _make_scores(self, branches: tuple[Branch, ...], apart: bool) -> QuestionScores:
        return QuestionScores(branches, self._end_ids, apart)

    def _finish(self, completion: Completion) -> Outcome:
        values: dict[str, Any] = {}
        for question, logprobs in zip(self._questions, completion.answer, strict=True):
            values.update(question.values(logprobs))
        if any(question.trust.review_below is not None for question in self._questions):
            values[NEEDS_REVIEW[0]] = any(question.is_unsure(values) for question in self._questions)
        return Outcome(values=values, routing=completion.routing)


def _depth(choices: Choices) -> int:
    """Positions that the longest one takes behind its prompt, with its end."""
    return max(map(len, choices.token_ids))


def _shared(prompts: Sequence[list[int]]) -> int:
    """Tokens with which all of them begin."""
    return alike(min(prompts), max(prompts))
