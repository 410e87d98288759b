"""The template of a job's prompts: its names are a row's columns, and `row` is the whole row."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pipeline.errors import ConfigError
from pipeline.text.control_tokens import begins_token, enclosed
from pipeline.text.first_tokens import first_tokens
from pipeline.text.marked_rendering import mark_values, render_marked
from pipeline.text.template_budget import budget
from pipeline.text.template_names import ROW, TemplateNames
from pipeline.text.template_values import MisuseError
from pipeline.text.templates import BoundedTemplate
from pipeline.text.tokenization import Tokenizer

WHERE = "input.prompt.template"
_MOST_CHARACTERS_A_TOKEN = 64  # that `first_tokens` looks at, at a step each


class RowTemplate:
    """ConfigError if the source is no template. Without a tokenizer it can tell its names alone."""

    def __init__(
        self,
        source: str,
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self._template = BoundedTemplate(
            source,
            WHERE,
            filters={"first_tokens": _FirstTokens(tokenizer)},
            keep_trailing_newline=True,
        )
        self._tokenizer = tokenizer
        self._begins_token = tokenizer is not None and begins_token(
            self._template.literals, tokenizer.trusted_tokens
        )

    @property
    def names(self) -> TemplateNames:
        return self._template.names

    def render(self, record: Mapping[str, object]) -> str:
        """The text, marked where it is the row's (see `Tokenizer.mark`); no RowError quotes the row."""
        names = self._template.names
        values: dict[str, Any] = {name: record[name] for name in names.own if name in record}
        if names.row and ROW not in values:
            values[ROW] = {
                name: value for name, value in record.items() if names.whole_row or name in names.of_row
            }
        assert self._tokenizer is not None
        marked = {name: mark_values(value, self._mark) for name, value in values.items()}
        if ROW in marked and ROW not in record:  # its names are those of columns, by which it is asked
            marked[ROW] = {name: mark_values(value, self._mark) for name, value in values[ROW].items()}
        return render_marked(self._tokenizer, self._template.render, values, marked)

    def _mark(self, text: str) -> str:
        assert self._tokenizer is not None
        marked = self._tokenizer.mark(text)
        return enclosed(marked) if self._begins_token else marked


@lru_cache(maxsize=8)
def read_names(source: str) -> TemplateNames:
    """The columns that a prompt's template reads; ConfigError if it is not a template."""
    return RowTemplate(source).names


@dataclass(frozen=True)
class _FirstTokens:
    """The filter `first_tokens`, which can be pickled."""

    tokenizer: Tokenizer | None

    def __call__(self, text: object, count: object) -> str:
        if not isinstance(text, str):
            raise MisuseError("first_tokens is for texts")
        if type(count) is not int or count < 0:
            raise MisuseError("first_tokens takes a number of tokens")
        if self.tokenizer is None:
            raise ConfigError(f"{WHERE}: first_tokens needs the checkpoint's tokenizer")
        budget.get().work(min(len(text), _MOST_CHARACTERS_A_TOKEN * (count + 1)))
        return first_tokens(self.tokenizer, text, count)
