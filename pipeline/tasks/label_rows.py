"""What task label asks the model for each row, and what it makes of the answer."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from model.requests.choice_scores import ChoiceScores, mass, normalised
from model.requests.request import Completion, Request
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.task import Asked, Finish, Outcome, RowRequests
from pipeline.tasks.label_calibration import Calibration
from pipeline.tasks.label_trust import needs_review
from pipeline.text.choice_tokens import REMEMBERED, Choices, ChoiceTokens
from pipeline.text.prompt_format import PromptFormat

# A prompt's last word may have other tokens with a choice behind it; so many more are left room for.
_WORD = 4
NOT_CALIBRATED = Calibration()


class LabelRows(RowRequests):
    def __init__(
        self,
        prompt_format: PromptFormat,
        choices: Mapping[str, str],
        calibration: Calibration = NOT_CALIBRATED,
        review_below: float | None = None,
    ) -> None:
        self._calibration = calibration
        self._review_below = review_below
        self._names = list(choices)
        self._tokens = ChoiceTokens(prompt_format, choices)
        self._end_ids = prompt_format.end_ids
        self._scores = lru_cache(maxsize=REMEMBERED)(self._make_scores)
        typical = map(self._make_scores, self._tokens.typical)
        self._depth = max(scores.tree.depth for scores in typical) + _WORD

    def longest_prompt(self, context: int) -> int:
        room = context - self._depth
        if room < 1:
            raise ConfigError(
                f"label.choices: the longest takes {context - room} tokens, the context {context}"
            )
        for text, prompt in self._calibration.prompts.items():
            if len(prompt) > room:
                raise ConfigError(
                    f"label.calibrate.prior: the prompt with {text!r} in place of its content has "
                    f"{len(prompt)} tokens, the context has room for {room}"
                )
        self.first_requests()  # which may be refused for other reasons
        return room

    def cache_tokens(self, context: int) -> int:
        return 0

    def first_requests(self) -> list[Request]:
        requests = []
        for text, prompt in self._calibration.prompts.items():
            key = f"label.calibrate.prior: {text!r}"
            try:
                requests.append(self.start(key, [*prompt], None)[0])
            except RowError as error:
                raise ConfigError(f"{key}: {error.message}") from error
        return requests

    def take_first_answers(self, answers: Sequence[Any]) -> None:
        """Those of `first_requests`: log-probabilities of the choices, [C] each."""
        self._calibration = self._calibration.knowing(answers, self._names)

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

    def facts(self) -> list[tuple[str, str]]:
        scores = self._make_scores(self._tokens.typical[0])
        passes = f"{len(scores.parts)} passes" if len(scores.parts) > 1 else "one pass"
        count = f"{len(self._names):,}, which take {scores.computed_tokens:,} tokens behind each prompt"
        facts = [("choices", f"{count}, in {passes}")]
        if self._calibration.prompts:
            texts = ", ".join(map(repr, self._calibration.prompts))
            facts.append(("calibration", f"by prompts whose content is replaced by {texts}"))
        return facts

    def _make_scores(self, choices: Choices) -> ChoiceScores:
        return ChoiceScores.of([list(ids) for ids in choices.token_ids], self._end_ids)

    def _finish(self, completion: Completion) -> Outcome:
        probabilities = self._by_name(self._calibration.probabilities(completion.answer))
        label = max(probabilities, key=lambda name: probabilities[name])
        values: dict[str, Any] = {
            "label": label,
            "label_prob": probabilities[label],
            "label_probs": _listed(probabilities),
            "label_mass": mass(completion.answer),
        }
        if self._calibration.changes:
            values["label_probs_raw"] = _listed(self._by_name(normalised(completion.answer)))
        if self._review_below is not None:
            values["needs_review"] = needs_review([(probabilities[label], self._review_below)])
        return Outcome(values=values, routing=completion.routing)

    def _by_name(self, probabilities: list[float]) -> dict[str, float]:
        return dict(zip(self._names, probabilities, strict=True))


def _listed(probabilities: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"label": name, "prob": prob} for name, prob in probabilities.items()]
