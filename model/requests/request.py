"""What goes into the engine for a row, and what comes out."""

from collections.abc import Callable
from dataclasses import dataclass, field

from model.config import ModelConfig
from model.requests.choice_tree import ChoiceTree
from model.requests.row_routing import RowRouting
from model.sampling.sampling_params import SamplingParams


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
    def prefill_tokens(self) -> int:
        """Tokens that its prefill computes."""
        return len(self.prompt_token_ids) + (len(self.choices.token_ids) if self.choices is not None else 0)

    @property
    def cache_tokens(self) -> int:
        """Places in the cache that the row may need at most; its last token is never fed back.

        0 where one pass over the prompt is all there is: nothing is read again.
        """
        if self.choices is not None or self.params.max_new_tokens == 1:
            return 0
        return self.prefill_tokens + self.params.max_new_tokens - 1

    def check(self, config: ModelConfig, cache_tokens: int) -> None:
        """ValueError if not even an empty engine with a cache of this size could run the row."""
        prompt, tree = self.prompt_token_ids, self.choices
        if not prompt:
            raise ValueError("a prompt must hold at least one token")
        choices = [] if tree is None else [token for choice in tree.steps for _, token in choice]
        for token in (*prompt, *choices):
            if not 0 <= token < config.vocab_size:
                raise ValueError(f"a token id must be in [0, {config.vocab_size}), got {token}")
        further = self.params.max_new_tokens - 1 if tree is None else tree.depth
        if len(prompt) + further > config.max_positions:
            raise ValueError(
                f"{len(prompt)} prompt tokens and {further} further ones exceed the context of "
                f"{config.max_positions}"
            )
        if self.cache_tokens > cache_tokens:
            raise ValueError(f"a row of {self.cache_tokens} tokens exceeds kv_cache_tokens ({cache_tokens})")


@dataclass(frozen=True)
class Completion:
    key: str
    token_ids: list[int]
    logprobs: list[float] | None  # of token_ids, where the request's parameters ask for them
    finish_reason: str | None  # stop | length; None where choices were scored
    choice_logprobs: list[float] | None  # of the request's choices, not normalised over them
    routing: RowRouting | None  # None without experts or with statistics off
    nan_logits: bool = False  # the model gave NaN or infinity; the token ids end before it
    out_of_memory: bool = False  # memory did not suffice for the row alone; the token ids end there
