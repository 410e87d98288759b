"""What a task asks the engine for each row, and what it makes of the answer."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from model.requests.request import Completion, Request
from model.requests.row_routing import RowRouting


@dataclass(frozen=True)
class Outcome:
    """How a row ended: with the values of the task's columns, or with an error."""

    error_code: str | None = None  # a RowErrorCode
    error_message: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)  # by column; a column without one is null
    routing: RowRouting | None = None


@dataclass(frozen=True)
class Asked:
    """What the engine is asked for one row, or about one of the row's prompts, for people."""

    prompt_token_ids: Sequence[int]  # as the engine gets them
    answers: Mapping[str, Sequence[int]] = field(default_factory=dict)  # those that are scored, by name
    called: str = "choices"  # what the answers are
    at_end_ids: bool = False  # whether the checkpoint's end ids end an answer
    stop_token_ids: Sequence[int] = ()  # that end it too
    ends: Sequence[str] = ()  # what else ends it: "after 9 tokens"
    # Of one of several prompts: its name, its ids before any of them was replaced, and how many tokens of it
    # the row's other prompts have too.
    name: str = ""
    given: Sequence[int] | None = None
    shared: int = 0


Finish = Callable[[Completion], Outcome]


class RowRequests(ABC):
    """A task with the tokenizer of the job's checkpoint: what it asks the engine for each row."""

    @abstractmethod
    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        """The request of one row, and what turns its completion into the row's outcome.

        `params` is what `Task.row_params` gave for the row.
        """

    def first_requests(self) -> list[Request]:
        """What is asked once a job, before any row. Keys are for people: what the request is of."""
        return []

    def name_first_answers(self, answers: Sequence[Any]) -> dict[str, Any]:
        """The completions' answers as JSON can hold them, in objects by names of what each number is of.

        So another run knows which answer is which, whatever the order in which it asks.
        """
        raise NotImplementedError

    def take_first_answers(self, named: Mapping[str, Any]) -> None:
        """Go by these answers, named as by `name_first_answers`; ConfigError if no row can."""
        raise NotImplementedError

    def asked(self, prompt_token_ids: list[int], params: str | None) -> Asked:
        """What `start` would ask, for `plan` to show."""
        return Asked(prompt_token_ids)

    def asked_of_each(self, prompt_token_ids: list[int], params: str | None) -> list[Asked]:
        """The same for each prompt of a row that has several."""
        return [self.asked(prompt_token_ids, params)]

    def facts(self) -> list[tuple[str, str]]:
        """What `plan` says of every row's request, each fact with its name."""
        return []

    def longest_prompt(self, context: int) -> int:
        """Tokens of the longest prompt in a model with that context.

        ConfigError if none leaves room for what the task puts behind it.
        """
        return context

    def cache_tokens(self, context: int) -> int:
        """Tokens of cache that the longest row may need, in a model with that context.

        0 where rows are answered by one pass, as by a `OnePassReadout`: the job then reserves none.
        """
        return context
