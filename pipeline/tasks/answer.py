"""Task answer: where in a text the answer to a question stands, by a question answering model."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from model.requests.label_logits import LabelLogits
from model.requests.request import Completion, Request
from model.trained_head import HeadKind
from pipeline.config.input import InputSection
from pipeline.config.section import PositiveInt, Section
from pipeline.row_requests import Finish, Outcome, RowRequests
from pipeline.task import Closed, Task
from pipeline.text.pair_prompts import PairPrompts
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.text_offsets import TextOffsets, without_space_around


class AnswerSection(Section):
    """The two texts of a row, in place of `input.prompt`."""

    question: str = Field(description="A column with each row's question.", examples=["question"])
    context: str = Field(
        description="A column with the text in which the answer stands.", examples=["paragraph"]
    )
    max_answer_tokens: PositiveInt = Field(
        default=30, description="Tokens of an answer at most.", examples=[15]
    )


class Answer(Task[AnswerSection]):
    section_name = "answer"
    section_model = AnswerSection
    heads = frozenset({HeadKind.SPAN})
    own_prompts = True
    columns = (
        ("answer", pa.string()),
        ("answer_start", pa.int32()),
        ("answer_end", pa.int32()),
        ("answer_prob", pa.float64()),
    )

    def __init__(self, section: AnswerSection) -> None:
        super().__init__(section)
        self.input_columns = {section.question: "answer.question", section.context: "answer.context"}

    @property
    def closed(self) -> Closed:
        """Whatever the tokenizer says: what stands behind the context changes nothing in it."""
        return "as_tokenizer"

    def prompts(self, section: InputSection, prompt_format: PromptFormat, vocab_size: int) -> PairPrompts:
        return PairPrompts(section, prompt_format, vocab_size, self.section.question, self.section.context)

    def row_params(self, record: Mapping[str, Any], prompt_tokens: int, context: int) -> str:
        """The text in which the answer stands, as JSON."""
        return orjson.dumps(record[self.section.context]).decode()

    def requests(self, prompt_format: PromptFormat) -> "AnswerRows":
        return AnswerRows(prompt_format, self.section.max_answer_tokens)


class AnswerRows(RowRequests):
    def __init__(self, prompt_format: PromptFormat, most: int) -> None:
        self._tokenizer = prompt_format.tokenizer
        self._offsets = TextOffsets(prompt_format)
        self._most = most

    def cache_tokens(self, context: int) -> int:
        return 0

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        text: str = orjson.loads(params or '""')
        first = len(prompt_token_ids) - len(self._tokenizer.encode(text))
        places = self._offsets.of_text(prompt_token_ids[first:], text)
        says = np.array([not text[start:end].isspace() and end > start for start, end in places])

        def finish(completion: Completion) -> Outcome:
            begin, end, prob = likeliest_span(completion.answer, says, self._most)
            start, stop = without_space_around(text, (places[begin][0], places[end][1]))
            values = {
                "answer": text[start:stop], "answer_start": start, "answer_end": stop, "answer_prob": prob
            }  # fmt: skip
            return Outcome(values=values, routing=completion.routing)

        return Request(key, prompt_token_ids, readout=LabelLogits(first)), finish


def likeliest_span(logits: NDArray[np.float64], says: NDArray[np.bool_], most: int) -> tuple[int, int, float]:
    """Logits [n, 2] of n tokens -> the first and the last token of the likeliest answer of at most `most`.

    `says` [n]: which tokens are more than white space; an answer has one of them, and there is one. Its
    probability is that of its begin among all tokens, times that of its end among all.
    """
    shifted = logits - logits.max(0)
    logprobs = shifted - np.log(np.exp(shifted).sum(0))  # [n, 2]
    before = np.concatenate(([0], says.cumsum()))  # [n + 1]: tokens before each that say something
    best = (-np.inf, 0, 0)
    for further in range(min(most, len(logprobs))):
        together = logprobs[: len(logprobs) - further, 0] + logprobs[further:, 1]
        together[before[further + 1 :] == before[: len(together)]] = -np.inf
        begin = int(together.argmax())
        best = max(best, (float(together[begin]), begin, begin + further), key=lambda span: span[0])
    logprob, begin, end = best
    return begin, end, float(np.exp(logprob))
