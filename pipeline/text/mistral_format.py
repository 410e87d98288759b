"""Mistral's own instruct formats v1, v2, v3 and v7.

    v1   <s> "[INST] {user} [/INST]" "{assistant}" </s> ...      the system prompt opens the first user turn
    v2   <s> [INST] "{user}" [/INST] "{assistant}" </s> ...      the system prompt opens the last user turn
    v3   as v2 (they differ in tool calls alone)
    v7   <s> [SYSTEM_PROMPT] "{system}" [/SYSTEM_PROMPT] [INST] "{user}" [/INST] "{assistant}" </s> ...

What stands in quotes is encoded on its own, never as one long text: ids depend on where a text begins.
Ids and accepted conversations are those of mistral-common's `encode_chat_completion`, without tools,
images or an assistant prefix. Empty answers within a conversation are refused in v7 too.
"""

from collections.abc import Sequence
from itertools import groupby

from pipeline.text.messages import BLANK_LINE, Message, Role, bad_messages, join_parts
from pipeline.text.prompt_format import AnswerFrame, PromptFormat
from pipeline.text.tokenization import Tokenizer
from pipeline.text.vocabulary_file import InstructVersion

_BRACKETS: dict[Role, tuple[str, str]] = {
    "user": ("[INST]", "[/INST]"),
    "system": ("[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
}


class MistralFormat(PromptFormat):
    def __init__(
        self, tokenizer: Tokenizer, version: InstructVersion, source: str, end_ids: frozenset[int]
    ) -> None:
        super().__init__(tokenizer, source, end_ids | {tokenizer.eos_id})
        self.version = version

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """BOS first. RowError(BAD_MESSAGES) for an empty answer within the conversation."""
        bos = self.tokenizer.bos_id
        assert bos is not None, "Mistral's vocabularies have one"
        ids = [bos]
        for role, text in self._turns(messages):
            ids += self._encode_turn(role, text)
        return ids

    def answer_frame(self, prompt_end: str) -> AnswerFrame:
        return AnswerFrame("", "", alone=True)

    @property
    def answer_opening(self) -> str:
        return " " if self.tokenizer.dummy_space else ""  # that of a text of its own

    def _turns(self, messages: Sequence[Message]) -> list[tuple[Role, str]]:
        """Consecutive messages of one role are one turn, but for system prompts.

        In v7 those are turns of their own; before, they stand in a user's turn.
        """
        turns: list[tuple[Role, str]] = []
        for role, of_role in groupby(messages, key=lambda message: message.role):
            if role == "system":
                turns += [(role, message.content) for message in of_role]
            else:
                turns.append((role, join_parts([part for message in of_role for part in message.parts])))
        return turns if self.version == "v7" else self._with_system_in_user_turn(messages, turns)

    def _with_system_in_user_turn(
        self, messages: Sequence[Message], turns: list[tuple[Role, str]]
    ) -> list[tuple[Role, str]]:
        system = BLANK_LINE.join(
            message.content for message in messages if message.role == "system" and message.parts
        )
        turns = [turn for turn in turns if turn[0] != "system"]
        if not turns or turns[0][0] != "user":
            turns.insert(0, ("user", ""))
        users = [number for number, (role, _) in enumerate(turns) if role == "user"]
        opened = users[0] if self.version == "v1" else users[-1]
        if system:
            turns[opened] = ("user", system + BLANK_LINE + turns[opened][1])
        return turns

    def _encode_turn(self, role: Role, text: str) -> list[int]:
        encode = self.tokenizer.encode_trusted
        if role == "assistant":
            if not text:
                raise bad_messages("an assistant message must not be empty")
            return [*encode(text if self.version == "v1" else text.rstrip(" ")), self.tokenizer.eos_id]
        if self.version == "v1":
            return encode(f"[INST] {text} [/INST]")
        begin, end = (self.tokenizer.trusted_tokens[token] for token in _BRACKETS[role])
        return [begin, *encode(text), end]
