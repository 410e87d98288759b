"""What goes into the engine for a row, and what comes out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any, Literal

from model.config import ModelConfig
from model.requests.next_token import Generated, NextToken
from model.requests.readout import Readout
from model.requests.row_routing import RowRouting
from model.sampling.sampling_params import SamplingParams
from model.sliding_window import SlidingWindow

Failure = Literal["nan_logits", "out_of_memory"]


@dataclass(frozen=True)
class Request:
    """One row: continue the prompt or, with another readout, answer what that asks about it."""

    key: str  # no two rows in the engine have the same
    prompt_token_ids: list[int]
    params: SamplingParams | None = None  # of generation; None: greedy, 128 tokens at most
    readout: Readout | None = None  # None: generate
    should_stop: Callable[[int], bool] | None = None  # of generation: see NextToken
    stream: str | None = None  # names the row's random stream, which rows may share; None: the key does
    part_of: int | None = None  # positions of the row that this is a part of

    @cached_property
    def wanted(self) -> Readout:
        """The readout, generation among them."""
        if self.readout is not None:
            return self.readout
        return NextToken(self.params or SamplingParams(), self.should_stop)

    @property
    def is_one_pass(self) -> bool:
        """Whether it runs as it is; else as the requests of its readout's parts."""
        return [*self.wanted.parts] == [self.wanted]

    @property
    def random_stream(self) -> str:
        return self.key if self.stream is None else self.stream

    @property
    def positions(self) -> int:
        """Positions that the row may take: its prompt's, and those behind it."""
        return self.part_of or len(self.prompt_token_ids) + self.wanted.further_tokens

    @property
    def first_read(self) -> int:
        """Index in the prompt of the first token whose outputs are wanted."""
        return self.wanted.first_read(len(self.prompt_token_ids))

    @property
    def prefill_tokens(self) -> int:
        """Tokens that its prefill computes."""
        return len(self.prompt_token_ids) + len(self.wanted.tree.token_ids)

    @property
    def cache_tokens(self) -> int:
        """Tokens that the row may keep in the cache at most.

        0 where one pass over the prompt is all there is: nothing is read again.
        """
        kept = self.wanted.kept_tokens
        return len(self.prompt_token_ids) + kept if kept else 0

    def check(self, config: ModelConfig, cache_tokens: int, window: SlidingWindow) -> None:
        """ValueError if not even an empty engine with a cache of this size could run the row."""
        prompt, wanted = self.prompt_token_ids, self.wanted
        if self.readout is not None and (self.params is not None or self.should_stop is not None):
            raise ValueError("params and should_stop are of generation: with a readout they have no effect")
        if not wanted.head.is_of(config.trained.kind):
            raise ValueError(
                f"{type(wanted).__name__} needs {wanted.head} outputs, which {config.trained.kind.in_words} "
                "does not give"
            )
        if not prompt:
            raise ValueError("a prompt must hold at least one token")
        named = [*wanted.named_token_ids]
        for token in chain(*((min(ids), max(ids)) for ids in (prompt, wanted.tree.token_ids, named) if ids)):
            if not 0 <= token < config.vocab_size:
                raise ValueError(f"a token id must be in [0, {config.vocab_size}), got {token}")
        if self.positions > config.max_positions:
            raise ValueError(
                f"{len(prompt)} prompt tokens and {wanted.further_tokens} further ones exceed the context of "
                f"{config.max_positions}"
            )
        if window.needed_tokens(self.cache_tokens) > cache_tokens:
            raise ValueError(f"a row of {self.cache_tokens} tokens exceeds kv_cache_tokens ({cache_tokens})")
        if not 0 <= self.first_read < len(prompt):
            raise ValueError(
                f"{type(wanted).__name__}.first_read must be in [0, {len(prompt)}) for a prompt of "
                f"{len(prompt)} tokens, got {self.first_read}"
            )


def sharers_together(requests: Iterable[Request]) -> list[Request]:
    """In an order in which those whose prompts begin alike are neighbours, so that they run at one time."""
    return sorted(requests, key=lambda request: request.prompt_token_ids)


@dataclass(frozen=True)
class Completion:
    key: str
    answer: Any  # of the request's readout: Generated of NextToken, list[float] of ChoiceScores
    routing: RowRouting | None  # None without experts or with statistics off
    # nan_logits: the model gave NaN or infinity. out_of_memory: memory did not suffice for the row alone.
    # The answer then holds what was generated before, or is None.
    failure: Failure | None = None
    shared_routing: RowRouting | None = None  # the part of it of tokens in a shared prefix

    @property
    def token_ids(self) -> list[int]:
        """What was generated; nothing where another readout was asked for."""
        return self.answer.token_ids if isinstance(self.answer, Generated) else []

    @property
    def logprobs(self) -> list[float] | None:
        """Of token_ids, where the request's parameters ask for them."""
        return self.answer.logprobs if isinstance(self.answer, Generated) else None

    @property
    def finish_reason(self) -> str | None:
        """stop | length; None where generation did not come to its end, or was not asked for."""
        return self.answer.finish_reason if isinstance(self.answer, Generated) else None
