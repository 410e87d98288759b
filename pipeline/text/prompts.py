"""One row to one prompt: take the column or render the template, check it, encode it."""

from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import orjson

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.control_tokens import without_marks
from pipeline.text.messages import Message, parse_messages
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.row_template import RowTemplate


@dataclass(frozen=True, slots=True)
class Prompt:
    token_ids: list[int]
    text: str | None  # what the user gave: text, messages as JSON, None for token ids
    notice: str | None = None  # what may be wrong with it
    params: str | None = None  # in place of what the task makes of the row: see `Task.row_params`
    longest: int | None = None  # tokens of the longest one, where the row has several prompts


class PromptBuilder:
    """Built from the job's input section, the format of its prompts and the model's vocabulary size.

    Token ids need no format: then it may be None. `closing` are the tokens that end every prompt.
    `given`: see `RowTemplate`.

    columns  the row's columns from which the prompt is made; None: all that there are
    content  the same without `row`, where that stands in a template for the row as a whole
    """

    def __init__(
        self,
        config: InputSection,
        prompt_format: PromptFormat | None,
        vocab_size: int,
        closing: tuple[int, ...] = (),
        given: Mapping[str, Collection[str]] | None = None,
    ) -> None:
        self._config = config
        self.format = prompt_format
        self._vocab_size = vocab_size
        self._closing = closing
        self._source = config.prompt
        self._template: RowTemplate | None = None
        if self._source.template is not None:
            assert prompt_format is not None, "only token ids can do without a format"
            self._template = RowTemplate(self._source.template, prompt_format.tokenizer, given)
        column = self._source.column or self._source.messages or self._source.token_ids
        self.columns: frozenset[str] | None = frozenset({column} if column else ())
        self.content: frozenset[str] | None = self.columns
        if self._template is not None:
            names = self._template.names
            self.columns = None if names.whole_row else names.read
            self.content = None if names.whole_row else names.content
        self._check_vocabulary()

    def __reduce__(self) -> tuple[object, ...]:
        return PromptBuilder, (self._config, self.format, self._vocab_size, self._closing)

    def facts(self) -> list[tuple[str, str]]:
        """What `plan` says of the prompts, each fact with its name."""
        return []

    def build(self, record: Mapping[str, object]) -> Prompt:
        """The prompt of one row; RowError says what is wrong with it without quoting it."""
        prompt = self._open(record)
        closing = [*self._closing]
        if prompt.token_ids[len(prompt.token_ids) - len(closing) :] == closing:
            return prompt
        return replace(prompt, token_ids=[*prompt.token_ids, *closing])

    def _open(self, record: Mapping[str, object]) -> Prompt:
        """Without the tokens that end it."""
        if self._template is not None:
            return self._from_text(self._template.render(record))
        if self._source.column is not None:
            return self._from_text(self._mark(text_of(record, self._source.column)))
        if self._source.messages is not None:
            return self._from_messages(_value(record, self._source.messages))
        assert self._source.token_ids is not None
        return Prompt(self._check_ids(_value(record, self._source.token_ids)), text=None)

    def _mark(self, text: str) -> str:
        assert self.format is not None, "only token ids can do without a format"
        return self.format.tokenizer.mark(text)

    def _from_text(self, marked: str) -> Prompt:
        text = without_marks(marked)
        if not text.strip():
            raise RowError(RowErrorCode.EMPTY_PROMPT, "the prompt is empty or only white space")
        return Prompt(self._encode([Message("user", (marked,))]), text, self._notice(marked))

    def _from_messages(self, value: object) -> Prompt:
        messages = [message.map(self._mark) for message in parse_messages(_unpacked(value))]
        if not any(message.content.strip() for message in messages):
            raise RowError(RowErrorCode.EMPTY_PROMPT, "every message is empty or only white space")
        ids = self._encode(messages)
        plain = [{"role": message.role, "content": without_marks(message.content)} for message in messages]
        return Prompt(ids, orjson.dumps(plain).decode(), self._notice(messages[0].content))

    def _encode(self, messages: list[Message]) -> list[int]:
        assert self.format is not None
        ids = self.format.encode(messages)
        if not ids:
            raise RowError(RowErrorCode.EMPTY_PROMPT, "the chat template makes nothing of the messages")
        return ids

    def _notice(self, marked: str) -> str | None:
        """Of a prompt that brings the text of BOS along, where that is no BOS or a second one."""
        assert self.format is not None
        tokenizer = self.format.tokenizer
        if tokenizer.bos_id is None:
            return None
        bos = tokenizer.piece(tokenizer.bos_id)
        if not without_marks(marked[: 2 * len(bos) + 8]).lstrip().startswith(bos):
            return None
        if marked.startswith(bos) and not self.format.chat:
            return None  # the author's own, in place of the one that is added
        return f"the prompt begins with the text {bos}, which the format adds where it belongs"

    def _check_vocabulary(self) -> None:
        """ConfigError if the tokenizer gives ids without an embedding: it belongs to another model."""
        if self.format is None:
            return
        tokenizer = self.format.tokenizer
        top = max([tokenizer.piece_count - 1, *(self.format.end_ids if self.format.chat else ())])
        with suppress(RowError):  # a chat template may want more than one message
            top = max([top, *self.format.encode([Message("user", ("Hi",))])])
        if top >= self._vocab_size:
            raise ConfigError(
                f"{tokenizer.folder}: the tokenizer gives ids up to {top}, "
                f"the model's vocab_size is {self._vocab_size}"
            )

    def _check_ids(self, value: object) -> list[int]:
        if not isinstance(value, list):
            raise RowError(RowErrorCode.WRONG_TYPE, f"token ids must be a list, got {type(value).__name__}")
        if not value:
            raise RowError(RowErrorCode.EMPTY_PROMPT, "the list of token ids is empty")
        size = self._vocab_size
        for position, token_id in enumerate(value):
            # bool is a subclass of int, and true is no token
            if type(token_id) is not int:
                found = f"a {type(token_id).__name__}"
            elif not 0 <= token_id < size:
                found = "one outside"
            else:
                continue
            message = f"token ids must be integers in [0, {size}), got {found} at position {position}"
            raise RowError(RowErrorCode.BAD_TOKEN_ID, message)
        return value


def _unpacked(messages: object) -> object:
    """Messages as they are, or out of their JSON in a text."""
    if not isinstance(messages, str):
        return messages
    try:
        return orjson.loads(messages)
    except orjson.JSONDecodeError as error:
        sentence = "messages must be a list, or a text with its JSON, got a text that is no JSON"
        raise RowError(RowErrorCode.WRONG_TYPE, sentence) from error


def _value(record: Mapping[str, object], column: str) -> object:
    if column not in record:
        raise RowError(RowErrorCode.MISSING_COLUMN, f"this row has no column {column}")
    value = record[column]
    if value is None:
        raise RowError(RowErrorCode.NULL_PROMPT, f"column {column} is null")
    return value


def text_of(record: Mapping[str, object], column: str) -> str:
    """The text in a row's column; RowError if there is none."""
    value = _value(record, column)
    if not isinstance(value, str):
        message = f"column {column} must be a string, got {type(value).__name__}"
        raise RowError(RowErrorCode.WRONG_TYPE, message)
    return value
