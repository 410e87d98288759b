"""Chat templates of fine-tunes (ChatML and the like): messages to ids through the checkpoint's own jinja.

The template is trusted to write control tokens, the messages are not. So every place in a message where
such a token might begin is broken with a filler character before rendering; the rendered text is split at
the tokens that are still whole, and the filler taken out again.
"""

import re
from collections.abc import Sequence
from typing import NoReturn

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.instruct import Message
from pipeline.text.templates import BoundedTemplate
from pipeline.text.tokenization import Tokenizer

# Unicode's noncharacters, meant for a program's own use; one that no message holds is the filler.
FILLERS = [chr(code) for code in range(0xFDD0, 0xFDF0)]


def _raise_exception(message: object = "") -> NoReturn:
    raise RowError(RowErrorCode.BAD_MESSAGES, "the checkpoint's chat template refuses these messages")


class ChatTemplate:
    """The chat template of a checkpoint, as transformers' `apply_chat_template` renders it."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        if tokenizer.chat_template is None:
            raise ValueError(f"tokenizer must have a chat template of its own, got {tokenizer.folder}")
        self._tokenizer = tokenizer
        self._template = BoundedTemplate(
            tokenizer.chat_template,
            where=f"{tokenizer.folder}: chat template",
            print_nulls=True,
            functions={"raise_exception": _raise_exception},
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.loopcontrols"],
        )
        texts = {token_id: text for text, token_id in tokenizer.trusted_tokens.items()}
        self._constants = {
            "add_generation_prompt": True,
            "bos_token": texts[tokenizer.bos_id],
            "eos_token": texts[tokenizer.eos_id],
            "tools": None,
            "documents": None,
        }
        starts = "".join(sorted({text[0] for text in tokenizer.trusted_tokens}))
        self._starts = re.compile(f"[{re.escape(starts)}]")

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Ids of the conversation up to where the assistant speaks; BOS only if the template writes it."""
        everything = "".join(message.content for message in messages)
        filler = next((char for char in FILLERS if char not in everything), None)
        if filler is None:
            raise RowError(RowErrorCode.BAD_MESSAGES, "the messages use up all of Unicode's noncharacters")
        broken = [
            {"role": message.role, "content": self._starts.sub(lambda m: m[0] + filler, message.content)}
            for message in messages
        ]
        text = self._template.render({**self._constants, "messages": broken})
        return self._tokenizer.encode(text, trusted=True, filler=filler)
