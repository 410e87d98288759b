"""Task embed: each prompt becomes one vector, of the model's hidden states after the final norm."""

from copy import copy
from typing import Literal, Self

import pyarrow as pa
from pydantic import Field

from model.config import ModelConfig
from model.requests.pooled_states import PooledStates
from model.requests.request import Completion, Request
from model.trained_head import HeadKind
from pipeline.config.section import Section
from pipeline.row_requests import Finish, Outcome, RowRequests
from pipeline.task import Closed, Task
from pipeline.text.prompt_format import PromptFormat


class EmbedSection(Section):
    """How a prompt's hidden states become one vector."""

    pooling: Literal["last", "mean"] = Field(
        default="last",
        description="`last`: the hidden state of the prompt's last token. `mean`: the mean of those of all "
        "its tokens.",
        examples=["mean"],
    )
    normalize: bool = Field(
        default=True,
        description="Scale every vector to length 1, so that the dot product of two is their cosine.",
        examples=[False],
    )
    append_eos: bool = Field(
        default=False,
        description="Put the end of the sequence behind every prompt that does not end in it. A checkpoint "
        "whose tokenizer puts it behind every text has it behind plain prompts in any case.",
        examples=[True],
    )


class Embed(Task[EmbedSection]):
    section_name = "embed"
    section_model = EmbedSection
    heads = frozenset({HeadKind.LANGUAGE, HeadKind.NONE})
    columns = (("embedding", pa.list_(pa.float32())),)

    @property
    def needs_tokenizer(self) -> bool:
        return self.section.append_eos

    @property
    def closed(self) -> Closed:
        return "always" if self.section.append_eos else "as_tokenizer"

    def for_model(self, model: ModelConfig) -> Self:
        """The vectors have the width of the model's hidden states."""
        fitted = copy(self)
        fitted.columns = (("embedding", pa.list_(pa.float32(), model.dim)),)
        return fitted

    def requests(self, prompt_format: PromptFormat | None) -> "EmbedRows":
        return EmbedRows(self.section)


class EmbedRows(RowRequests):
    def __init__(self, section: EmbedSection) -> None:
        self._section = section
        self._readout = PooledStates(section.pooling, section.normalize)

    def cache_tokens(self, context: int) -> int:
        return 0

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        return Request(key, prompt_token_ids, readout=self._readout), _finish

    def facts(self) -> list[tuple[str, str]]:
        of = "the mean of all hidden states" if self._section.pooling == "mean" else "the last hidden state"
        return [("embedding", f"{of}, {'of length 1' if self._section.normalize else 'as it is'}")]


def _finish(completion: Completion) -> Outcome:
    return Outcome(values={"embedding": completion.answer}, routing=completion.routing)
