"""A chat template (ChatML and the like), rendered as transformers' `apply_chat_template` renders it.

The template is trusted to write control tokens, and so is what a job's author wrote in a message; what rows
wrote is not. Rows' text comes marked, and the marks break every token in it until the rendered text is split
at the tokens that are still whole: see `Tokenizer.mark`.
"""

from collections.abc import Sequence
from functools import partial

from pipeline.errors import ConfigError
from pipeline.text.chat_jinja import compile_chat_template
from pipeline.text.control_tokens import begins_token, enclosed, without_marks
from pipeline.text.marked_rendering import render_marked
from pipeline.text.messages import Message
from pipeline.text.tokenization import Tokenizer


class ChatTemplate:
    """`source` is the template's text, `where` what errors call it."""

    def __init__(self, tokenizer: Tokenizer, source: str, where: str) -> None:
        self._tokenizer, self._source, self._where = tokenizer, source, where
        if "strftime_now" in source:
            raise ConfigError(
                f"{where}: it writes the day's date into prompts (strftime_now), so that a job that is "
                "started again would go on with other prompts; copy it into a file, write the date that "
                "you want there, and name the file in input.chat_template"
            )
        self._template = compile_chat_template(source, where)
        names = {token_id: text for text, token_id in tokenizer.trusted_tokens.items()}
        self._constants: dict[str, object] = {"eos_token": names[tokenizer.eos_id]}
        if tokenizer.bos_id is not None:
            self._constants["bos_token"] = names[tokenizer.bos_id]
        self._constants |= {"tools": None, "documents": None}
        for name, text in tokenizer.files.other_tokens.items():
            self._constants.setdefault(name, text)
        self._begins_token = begins_token(self._template.literals, tokenizer.trusted_tokens)

    def __reduce__(self) -> tuple[object, ...]:
        return ChatTemplate, (self._tokenizer, self._source, self._where)

    def text(self, messages: Sequence[Message], generation_prompt: bool = True) -> str:
        """The conversation as transformers renders it; RowError(BAD_MESSAGES) if the template refuses it."""
        return self._render(generation_prompt, messages)

    def render(self, messages: Sequence[Message], generation_prompt: bool = True) -> str:
        """The conversation's text, marked as the messages are.

        RowError(BAD_MESSAGES) if the template refuses the messages; see `render_marked`, too.
        """
        marked = [message.map(enclosed) for message in messages] if self._begins_token else [*messages]
        plain = [message.map(without_marks) for message in messages]
        return render_marked(self._tokenizer, partial(self._render, generation_prompt), plain, marked)

    def _render(self, generation_prompt: bool, messages: Sequence[Message]) -> str:
        turns = [{"role": message.role, "content": message.content} for message in messages]
        return self._template.render(
            {**self._constants, "add_generation_prompt": generation_prompt, "messages": turns}
        )
