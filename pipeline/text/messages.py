"""Conversations as rows hold them: parsed, checked, and never quoted in an error."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, cast

from pipeline.errors import RowError, RowErrorCode

Role = Literal["system", "user", "assistant"]

BLANK_LINE = "\n\n"
ROLES = ("system", "user", "assistant")
# These keys change what the model reads, so a row that has one is refused rather than run without it.
UNSUPPORTED_KEYS = ("tool_calls", "function_call", "prefix")


@dataclass(frozen=True)
class Message:
    role: Role
    parts: tuple[str, ...]  # the texts of a list of parts, or the one text; () where there is none

    @property
    def content(self) -> str:
        return join_parts(self.parts)

    def map(self, change: Callable[[str], str]) -> "Message":
        return Message(self.role, tuple(map(change, self.parts)))


def parse_messages(value: object, answer_follows: bool = True) -> list[Message]:
    """Check a `[{"role": ..., "content": ...}, ...]` value; RowError(BAD_MESSAGES) says what is wrong.

    The last message may be the assistant's only if no answer is asked for behind it.
    """
    if not isinstance(value, list):
        raise RowError(RowErrorCode.WRONG_TYPE, f"messages must be a list, got {type(value).__name__}")
    if not value:
        raise bad_messages("there must be at least one message")
    messages = [_parse_message(number, item) for number, item in enumerate(value)]
    for number, (before, message) in enumerate(pairwise(messages), start=1):
        if before.role == "assistant" and message.role == "system":
            raise bad_messages(f"message {number} must not be a system message behind an assistant one")
    if answer_follows and messages[-1].role == "assistant":
        raise bad_messages("the last message must come from the user, so that there is something to answer")
    return messages


def join_parts(parts: Sequence[str]) -> str:
    return BLANK_LINE.join(part for part in parts if part)


def _parse_message(number: int, item: object) -> Message:
    if not isinstance(item, dict):
        raise bad_messages(f"message {number} must be an object, got {type(item).__name__}")
    if "role" not in item:
        raise bad_messages(f"message {number} has no role")
    role = item["role"]
    if role not in ROLES:
        raise bad_messages(f"the role of message {number} must be system, user or assistant")
    for key in UNSUPPORTED_KEYS:
        if item.get(key):
            raise bad_messages(f"message {number} has {key}, which is not supported")
    if "content" not in item:
        raise bad_messages(f"message {number} has no content")
    content = item["content"]
    if isinstance(content, str):
        parts: tuple[str, ...] = (content,) if content else ()
    elif isinstance(content, list):
        parts = tuple(_parse_part(number, part) for part in content)
    else:
        found = "null" if content is None else type(content).__name__
        raise bad_messages(
            f"the content of message {number} must be a string or a list of text parts, got {found}"
        )
    if role == "assistant" and not parts:
        raise bad_messages(f"message {number} is an empty assistant message")
    return Message(cast(Role, role), parts)


def _parse_part(number: int, part: object) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return cast(str, part["text"])
    raise bad_messages(f'every part of message {number} must be {{"type": "text", "text": "..."}}')


def bad_messages(message: str) -> RowError:
    return RowError(RowErrorCode.BAD_MESSAGES, message)
