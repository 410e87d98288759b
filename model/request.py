"""What goes into the engine for a row, and what comes out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from model.choices import ChoiceTree
from model.routing import RowRouting
from model.sampling import SamplingParams


@dataclass(frozen=True)
class Request:
    """One row: continue the prompt or, with `choices`, score what may follow it."""

    key: str  # names the row's random stream
    prompt_token_ids: list[int]
    params: SamplingParams = field(default_factory=SamplingParams)
    choices: ChoiceTree | None = None
    # Shown every generated token but the end of the sequence; True ends the row, that token included.
    should_stop: Callable[[int], bool] | None = None

    @property
    def cache_tokens(self) -> int:
        """Places in the cache that the row may need at most; its last token is never fed back."""
        if self.choices is not None:
            return len(self.prompt_token_ids) + len(self.choices)
        return len(self.prompt_token_ids) + self.params.max_new_tokens - 1


@dataclass(frozen=True)
class Completion:
    key: str
    token_ids: list[int]
    logprobs: list[float] | None  # of token_ids, where the request's parameters ask for them
    finish_reason: str | None  # stop | length; None where choices were scored
    choice_logprobs: list[float] | None  # of the request's choices, not normalised over them
    routing: RowRouting | None  # None without experts or with statistics off
    nan_logits: bool = False  # the model gave NaN; the token ids end before it
