"""The format of a checkpoint whose chat template is rendered.

What stands around an answer is found by rendering a probe: the same question once as a prompt, once with its
answer. What the second has more than the first is the frame of answers.
"""

from collections.abc import Sequence
from functools import cached_property

from pipeline.errors import ConfigError, RowError
from pipeline.text.chat_template import ChatTemplate
from pipeline.text.messages import Message
from pipeline.text.prompt_format import AnswerFrame, PromptFormat
from pipeline.text.tokenization import Tokenizer

QUESTION = Message("user", ("qquestionn",))
SYSTEM = Message("system", ("ssystemm",))
ANSWER = "aanswerr"
REPLY = Message("assistant", (ANSWER,))


class TemplateFormat(PromptFormat):
    def __init__(
        self, tokenizer: Tokenizer, template: ChatTemplate, source: str, end_ids: frozenset[int]
    ) -> None:
        super().__init__(tokenizer, source, end_ids | {tokenizer.eos_id})
        self._template = template
        self._opening = self._accepted_opening()
        self._behind, end = self._behind_an_answer()
        if end is not None:
            self.end_ids |= {end}

    def __reduce__(self) -> tuple[object, ...]:
        return TemplateFormat, (self.tokenizer, self._template, self.source, self.end_ids)

    def encode(self, messages: Sequence[Message]) -> list[int]:
        """BOS is among the ids only if the template writes it."""
        asks = messages[-1].role != "assistant"
        return self.tokenizer.encode_trusted(self._template.render(messages, generation_prompt=asks))

    def answer_frame(self, prompt_end: str) -> AnswerFrame:
        if self._before is None:
            raise ConfigError(
                f"{self.source}: it writes a prompt otherwise once that is answered, so how an answer's "
                "tokens follow cannot be told; give another template with input.chat_template"
            )
        return AnswerFrame(self._before, self._behind)

    @cached_property
    def answer_opening(self) -> str:
        try:
            prompt = self._template.text(self._opening)
        except RowError:
            return ""
        ids = self.tokenizer.encode_trusted(prompt)
        answered = self.tokenizer.encode_trusted(prompt + (self._before or "") + ANSWER)
        if answered[: len(ids)] != ids:
            return ""
        opening, found, _ = self.tokenizer.decode(answered[len(ids) :]).partition(ANSWER)
        return opening if found else ""

    @cached_property
    def _before(self) -> str | None:
        """None if the template cannot answer the probe once, or does not begin with the prompt then."""
        try:
            prompt = self._template.text(self._opening)
            whole = self._template.text([*self._opening, REPLY], generation_prompt=False)
        except RowError:
            return None
        before, found, behind = whole.removeprefix(prompt).partition(ANSWER)
        once = bool(found) and ANSWER not in behind
        return before if once and whole.startswith(prompt) else None

    def _accepted_opening(self) -> list[Message]:
        """The probe's question, with a system prompt before it if the template wants one."""
        try:
            self._template.text([QUESTION])
        except RowError:
            return [SYSTEM, QUESTION]
        return [QUESTION]

    def _behind_an_answer(self) -> tuple[str, int | None]:
        """The first control or added token that the template puts behind an answer, and the text before it.

        It may stand at the beginning of the next turn. No text and no token if there is none.
        """
        for further in ([], [QUESTION]):
            try:
                text = self._template.text([*self._opening, REPLY, *further], generation_prompt=False)
            except RowError:
                continue
            behind = text.partition(ANSWER)[2].partition(QUESTION.content)[0]
            token = self.tokenizer.first_token(behind)
            if token is not None:
                begin, token_id = token
                return behind[:begin], token_id
        return "", None
