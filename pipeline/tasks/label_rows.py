"""What task label asks the model for each row, and what it makes of the answer."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from model.requests.choice_scores import ChoiceScores
from model.requests.request import Completion, Request
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.row_requests import Asked, Finish, Outcome, RowRequests
from pipeline.tasks.label_prior import PriorPrompts
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_trust import NEEDS_REVIEW
from pipeline.text.choice_tokens import REMEMBERED, Choices, ChoiceTokens
from pipeline.text.prompt_format import PromptFormat

# A prompt's last word may have other tokens with a choice behind it; so many more are left room for.
WORD = 4


class LabelRows(RowRequests):
    def __init__(self, prompt_format: PromptFormat, question: Question) -> None:
        self._question = question
        self._priors = PriorPrompts([question.trust.calibration])
        self._names = list(question.choices)
        self._tokens = ChoiceTokens(prompt_format, question.choices)
        self._end_ids = prompt_format.end_ids
        self._scores = lru_cache(maxsize=REMEMBERED)(self._make_scores)
        typical = map(self._make_scores, self._tokens.typical)
        self._depth = max(scores.tree.depth for scores in typical) + WORD

    def longest_prompt(self, context: int) -> int:
        room = context - self._depth
        if room < 1:
            raise ConfigError(
                f"label.choices: the longest takes {context - room} tokens, the context {context}"
            )
        self._priors.require_room(room)
        self.first_requests()  # which may be refused for other reasons
        return room

    def cache_tokens(self, context: int) -> int:
        return 0

    def first_requests(self) -> list[Request]:
        return self._priors.requests(self.start)

    def name_first_answers(self, answers: Sequence[Any]) -> dict[str, Any]:
        """Those of `first_requests`: by prior text and choice, log-probabilities."""
        each = zip(self._priors.texts, answers, strict=True)
        return {text: self._question.named(answer) for text, answer in each}

    def take_first_answers(self, named: Mapping[str, Any]) -> None:
        self._question = self._question.knowing(named)

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        prompt, choices = self._tokens.behind(prompt_token_ids)
        scores = self._scores(choices)
        if len(prompt) + scores.tree.depth > len(prompt_token_ids) + self._depth:
            raise RowError(
                RowErrorCode.PROMPT_TOO_LONG,
                f"the prompt's last word takes more than {WORD} tokens more with a choice behind it",
            )
        return Request(key, prompt, readout=scores), self._finish

    def asked(self, prompt_token_ids: list[int], params: str | None) -> Asked:
        prompt, choices = self._tokens.behind(prompt_token_ids)
        return Asked(prompt, dict(zip(self._names, choices.token_ids, strict=True)), at_end_ids=True)

    def facts(self) -> list[tuple[str, str]]:
        scores = self._make_scores(self._tokens.typical[0])
        passes = f"{len(scores.parts)} passes" if len(scores.parts) > 1 else "one pass"
        count = f"{len(self._names):,}, which take {scores.computed_tokens:,} tokens behind each prompt"
        return [("choices", f"{count}, in {passes}"), *self._priors.facts()]

    def _make_scores(self, choices: Choices) -> ChoiceScores:
        return ChoiceScores.of([list(ids) for ids in choices.token_ids], self._end_ids)

    def _finish(self, completion: Completion) -> Outcome:
        values = self._question.values(completion.answer)
        if self._question.trust.review_below is not None:
            values[NEEDS_REVIEW[0]] = self._question.is_unsure(values)
        return Outcome(values=values, routing=completion.routing)
