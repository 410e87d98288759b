"""Messages to token ids in Mistral's instruct formats v1, v2 and v3.

    v1   <s> "[INST] {user} [/INST]" "{assistant}" </s> ...      the system prompt opens the first user turn
    v2   <s> [INST] "{user}" [/INST] "{assistant}" </s> ...      the system prompt opens the last user turn
    v3   as v2 (they differ in tool calls alone)

What stands in quotes is encoded on its own, never as one long text: ids depend on where a text begins.
Ids and accepted conversations are those of mistral-common's `encode_chat_completion`, without tools,
images or an assistant prefix.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal, cast

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.tokenization import Tokenizer
from pipeline.text.tokenizer_files import InstructVersion

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
        return _join(self.parts)


def parse_messages(value: object) -> list[Message]:
    """Check a `[{"role": ..., "content": ...}, ...]` value; RowError(BAD_MESSAGES) says what is wrong."""
    if not isinstance(value, list):
        raise RowError(RowErrorCode.WRONG_TYPE, f"messages must be a list, got {type(value).__name__}")
    if not value:
        raise _bad("there must be at least one message")
    messages = [_parse_message(number, item) for number, item in enumerate(value)]
    for number, (before, message) in enumerate(pairwise(messages), start=1):
        if before.role == "assistant" and message.role == "system":
            raise _bad(f"message {number} must not be a system message behind an assistant one")
    if messages[-1].role == "assistant":
        raise _bad("the last message must come from the user, so that there is something to answer")
    return messages


def encode_messages(tokenizer: Tokenizer, version: InstructVersion, messages: Sequence[Message]) -> list[int]:
    """Ids of the whole conversation, BOS first, ready for the assistant's next turn."""
    system = _system_prompt(messages)
    turns = [
        (role, _join([part for message in of_role for part in message.parts]))
        for role, of_role in groupby(messages, key=lambda message: message.role)
        if role != "system"
    ]
    if not turns or turns[0][0] != "user":
        turns.insert(0, ("user", ""))
    user_turns = [number for number, (role, _) in enumerate(turns) if role == "user"]
    opened_by_system = user_turns[0] if version == "v1" else user_turns[-1]

    ids = [tokenizer.bos_id]
    for number, (role, text) in enumerate(turns):
        if role == "assistant":
            ids += _encode_assistant(tokenizer, version, text)
        elif number == opened_by_system and system:
            ids += _encode_user(tokenizer, version, system + BLANK_LINE + text)
        else:
            ids += _encode_user(tokenizer, version, text)
    return ids


def _encode_user(tokenizer: Tokenizer, version: InstructVersion, text: str) -> list[int]:
    if version == "v1":
        return tokenizer.encode(f"[INST] {text} [/INST]")
    control = tokenizer.trusted_tokens
    return [control["[INST]"], *tokenizer.encode(text), control["[/INST]"]]


def _encode_assistant(tokenizer: Tokenizer, version: InstructVersion, text: str) -> list[int]:
    if not text:
        raise _bad("an assistant message must not be empty")
    if version != "v1":
        text = text.rstrip(" ")
    return [*tokenizer.encode(text), tokenizer.eos_id]


def _system_prompt(messages: Sequence[Message]) -> str:
    return BLANK_LINE.join(
        message.content for message in messages if message.role == "system" and message.parts
    )


def _join(parts: Sequence[str]) -> str:
    return BLANK_LINE.join(part for part in parts if part)


def _parse_message(number: int, item: object) -> Message:
    if not isinstance(item, dict):
        raise _bad(f"message {number} must be an object, got {type(item).__name__}")
    role = item.get("role")
    if role not in ROLES:
        raise _bad(f"the role of message {number} must be system, user or assistant")
    for key in UNSUPPORTED_KEYS:
        if item.get(key):
            raise _bad(f"message {number} has {key}, which is not supported")
    content = item.get("content")
    if isinstance(content, str):
        parts: tuple[str, ...] = (content,) if content else ()
    elif isinstance(content, list):
        parts = tuple(_parse_part(number, part) for part in content)
    else:
        found = "null" if content is None else type(content).__name__
        raise _bad(f"the content of message {number} must be a string or a list of text parts, got {found}")
    if role == "assistant" and not parts:
        raise _bad(f"message {number} is an empty assistant message")
    return Message(cast(Role, role), parts)


def _parse_part(number: int, part: object) -> str:
    if isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str):
        return cast(str, part["text"])
    raise _bad(f'every part of message {number} must be {{"type": "text", "text": "..."}}')


def _bad(message: str) -> RowError:
    return RowError(RowErrorCode.BAD_MESSAGES, message)
