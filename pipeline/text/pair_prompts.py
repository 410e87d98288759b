"""Prompts of two texts: a question, and the text that holds its answer."""

from collections.abc import Mapping

from pipeline.config.input import InputSection
from pipeline.errors import RowError, RowErrorCode
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.prompts import Prompt, PromptBuilder, text_of


class PairPrompts(PromptBuilder):
    """The question and the context as transformers encodes pairs, each behind BOS most often: no chat format.

    What would stand behind the context is left out: a causal model's answer does not depend on it.
    """

    def __init__(
        self, config: InputSection, prompt_format: PromptFormat, vocab_size: int, question: str, context: str
    ) -> None:
        super().__init__(config, prompt_format, vocab_size)
        self.columns = frozenset({question, context})
        self._tokenizer = prompt_format.tokenizer
        self._arguments = config, prompt_format, vocab_size, question, context

    def __reduce__(self) -> tuple[object, ...]:
        return PairPrompts, self._arguments

    def build(self, record: Mapping[str, object]) -> Prompt:
        *_, question_column, context_column = self._arguments
        question, context = text_of(record, question_column), text_of(record, context_column)
        for text, column in ((question, question_column), (context, context_column)):
            if not text.strip():
                raise RowError(RowErrorCode.EMPTY_PROMPT, f"column {column} is empty or only white space")
        encode, around = self._tokenizer.encode, self._tokenizer.around
        ids = [*around.before_pair, *encode(question), *around.between, *encode(context)]
        return Prompt(ids, f"{question}\n{context}")
