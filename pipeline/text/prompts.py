"""One row to one prompt: take the column or render the template, check it, encode it."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import orjson

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.chat_template import ChatTemplate
from pipeline.text.first_tokens import first_tokens
from pipeline.text.instruct import Message, encode_messages, parse_messages
from pipeline.text.row_template import RowTemplate
from pipeline.text.tokenization import Tokenizer


@dataclass(frozen=True, slots=True)
class Prompt:
    token_ids: list[int]
    text: str | None  # what the user gave: text, messages as JSON, None for token ids


class PromptBuilder:
    """Built from the job's input section, the tokenizer and the model's vocabulary size.

    Token ids need no tokenizer: then it may be None.

    chat     whether prompts are in the checkpoint's chat format
    columns  the row's columns from which the prompt is made; None: all that there are
    """

    def __init__(self, config: InputSection, tokenizer: Tokenizer | None, vocab_size: int) -> None:
        self._config = config
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._source = config.prompt
        self._template: RowTemplate | None = None
        if self._source.template is not None:
            assert tokenizer is not None, "only token ids can do without a tokenizer"
            self._template = RowTemplate(self._source.template, partial(first_tokens, tokenizer))
        self.chat = _decide_chat(config, tokenizer)
        self._chat_template = (
            ChatTemplate(tokenizer) if self.chat and tokenizer and tokenizer.chat_template else None
        )
        column = self._source.column or self._source.messages or self._source.token_ids
        self.columns: frozenset[str] | None = frozenset({column} if column else ())
        if self._template is not None:
            names = self._template.names
            self.columns = None if names.whole_row else names.read
        self._check_vocabulary()

    def __reduce__(self) -> tuple[object, ...]:
        return PromptBuilder, (self._config, self._tokenizer, self._vocab_size)

    def build(self, record: Mapping[str, object]) -> Prompt:
        """The prompt of one row; RowError says what is wrong with it without quoting it."""
        if self._template is not None:
            return self._from_text(self._template.render(record))
        if self._source.column is not None:
            return self._from_text(_text(self._source.column, _value(record, self._source.column)))
        if self._source.messages is not None:
            return self._from_messages(_value(record, self._source.messages))
        assert self._source.token_ids is not None
        return Prompt(self._check_ids(_value(record, self._source.token_ids)), text=None)

    def _from_text(self, text: str) -> Prompt:
        if not text.strip():
            raise RowError(RowErrorCode.EMPTY_PROMPT, "the prompt is empty or only white space")
        if self.chat:
            return Prompt(self._encode_chat([Message("user", (text,))]), text)
        assert self._tokenizer is not None
        return Prompt([self._tokenizer.bos_id, *self._tokenizer.encode(text)], text)

    def _from_messages(self, value: object) -> Prompt:
        messages = parse_messages(value)
        if not any(message.content.strip() for message in messages):
            raise RowError(RowErrorCode.EMPTY_PROMPT, "every message is empty or only white space")
        ids = self._encode_chat(messages)
        plain = [{"role": message.role, "content": message.content} for message in messages]
        return Prompt(ids, orjson.dumps(plain).decode())

    def _encode_chat(self, messages: list[Message]) -> list[int]:
        if self._chat_template is not None:
            return self._chat_template.encode(messages)
        assert self._tokenizer is not None
        version = self._tokenizer.vocabulary_version
        assert version is not None
        return encode_messages(self._tokenizer, version, messages)

    def _check_vocabulary(self) -> None:
        """ConfigError if the tokenizer gives ids without an embedding: it belongs to another model."""
        if self._tokenizer is None:
            return
        top = self._tokenizer.piece_count - 1
        with suppress(RowError):  # a chat template may want more than one message
            top = max(top, *self._encode_chat([Message("user", ("Hi",))])) if self.chat else top
        if top >= self._vocab_size:
            raise ConfigError(
                f"{self._tokenizer.folder}: the tokenizer gives ids up to {top}, "
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


def _decide_chat(config: InputSection, tokenizer: Tokenizer | None) -> bool:
    """Whether prompts are encoded as a chat; ConfigError if `input.chat` cannot be met."""
    source, chat = config.prompt, config.chat
    if source.token_ids is not None:
        if chat is True:
            raise ConfigError(
                "input.chat: true has no effect on token_ids, which are taken as they are: remove it"
            )
        return False
    assert tokenizer is not None, "only token ids can do without a tokenizer"
    if source.messages is not None and chat is False:
        raise ConfigError("input.chat: false does not go with messages: use a template or a column of text")
    if chat is False:
        return False
    if tokenizer.chat_template is None and tokenizer.vocabulary_version is None:
        raise ConfigError(
            f"{tokenizer.folder}: its chat format (v7 or later) is not supported: "
            "write it into input.prompt.template and set input.chat: false"
        )
    is_chat_model = tokenizer.chat_template is not None or tokenizer.instruct_version is not None
    if source.messages is not None and chat == "auto" and not is_chat_model:
        raise ConfigError(
            f"input.prompt.messages needs an instruct checkpoint, and {tokenizer.folder} looks like none: "
            f"set input.chat: true to use Mistral's format {tokenizer.vocabulary_version} all the same"
        )
    return chat is True or is_chat_model


def _value(record: Mapping[str, object], column: str) -> object:
    if column not in record:
        raise RowError(RowErrorCode.MISSING_COLUMN, f"this row has no column {column}")
    value = record[column]
    if value is None:
        raise RowError(RowErrorCode.NULL_PROMPT, f"column {column} is null")
    return value


def _text(column: str, value: object) -> str:
    if not isinstance(value, str):
        message = f"column {column} must be a string, got {type(value).__name__}"
        raise RowError(RowErrorCode.WRONG_TYPE, message)
    return value
