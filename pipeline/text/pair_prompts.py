"""Prompts of two texts: a question, and the text that holds its answer."""

from collections.abc import Mapping

from pipeline.config.input import InputSection
from pipeline.errors import RowError, RowErrorCode
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.prompts import Prompt, PromptBuilder, text_of


class PairPrompts(PromptBuilder):
    """BOS and the question, BOS and the context, as transformers encodes pairs: no chat format."""

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
        bos_id = self._tokenizer.bos_id
        bos = [bos_id] if self._tokenizer.adds_bos and bos_id is not None else []
        encode = self._tokenizer.encode
        return Prompt([*bos, *encode(question), *bos, *encode(context)], f"{question}\n{context}")
