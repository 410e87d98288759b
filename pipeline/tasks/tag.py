"""Task tag: the places in each prompt's text that a token classifier gives a label, such as names."""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from typing import Any, Self

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from model.config import ModelConfig
from model.requests.label_logits import LabelLogits
from model.requests.request import Completion, Request
from model.trained_head import UNSTATED, HeadKind, TrainedHead
from pipeline.config.section import Section
from pipeline.row_requests import Finish, Outcome, RowRequests
from pipeline.task import Closed, Task
from pipeline.tasks.classify import shown_labels
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.text_offsets import Span, TextOffsets, without_space_around

OUTSIDE = "O"  # the label of tokens that are in no span
# What a label's name begins with, before a dash, where a span begins with the token, and where it ends so.
_BEGINS, _ENDS = ("B", "S", "U"), ("E", "L", "S", "U")
_BEGIN_AND_INSIDE = ("B", "I")


class TagSection(Section):
    """Labels are the checkpoint's own. There is nothing to set: leave the section out."""


class Tag(Task[TagSection]):
    section_name = "tag"
    section_model = TagSection
    heads = frozenset({HeadKind.TOKEN})
    columns = (
        (
            "tag_spans",
            pa.list_(
                pa.struct(
                    [
                        ("start", pa.int32()),
                        ("end", pa.int32()),
                        ("label", pa.string()),
                        ("prob", pa.float64()),
                    ]
                )
            ),
        ),
    )
    trained = UNSTATED

    @property
    def closed(self) -> Closed:
        return "as_tokenizer"

    def for_model(self, model: ModelConfig) -> Self:
        fitted = copy(self)
        fitted.trained = model.trained
        return fitted

    def prompt_params(
        self, record: Mapping[str, Any], token_ids: Sequence[int], text: str | None, context: int
    ) -> str:
        """The prompt's text, as JSON."""
        return orjson.dumps(text).decode()

    def requests(self, prompt_format: PromptFormat) -> "TagRows":
        return TagRows(prompt_format, self.trained)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        return {"spans": sum(len(spans) for spans in rows["tag_spans"].to_pylist() if spans)}

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        return [("tagged spans", f"{totals['spans']:,}")]


class TagRows(RowRequests):
    def __init__(self, prompt_format: PromptFormat, trained: TrainedHead) -> None:
        self._tokenizer = prompt_format.tokenizer
        self._offsets = TextOffsets(prompt_format)
        self._trained = trained

    def cache_tokens(self, context: int) -> int:
        return 0

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        given: str | None = orjson.loads(params or "null")
        places = self._offsets.of_prompt(prompt_token_ids, given)
        text = self._tokenizer.decode(prompt_token_ids) if given is None else given
        first = next((i for i, (start, end) in enumerate(places) if end > start), len(places) - 1)

        def finish(completion: Completion) -> Outcome:
            spans = [*tagged(completion.answer, places[first:], self._trained.labels, text)]
            return Outcome(values={"tag_spans": spans}, routing=completion.routing)

        return Request(key, prompt_token_ids, readout=LabelLogits(first)), finish

    def facts(self) -> list[tuple[str, str]]:
        return [("labels of tokens", shown_labels(self._trained.labels))]


def tagged(
    logits: NDArray[np.float64], places: Sequence[Span], labels: Sequence[str], text: str
) -> Iterator[dict[str, Any]]:
    """Logits [n, C] of n tokens and their places in the text -> spans of tokens with one label.

    Each token has its likeliest label. A span's probability is the mean of its tokens'.
    """
    probs = np.exp(logits - logits.max(-1, keepdims=True))
    probs /= probs.sum(-1, keepdims=True)
    parts = _parts_of(labels)
    groups: list[tuple[str, list[int]]] = []  # of tokens, each with its tag
    ended = True
    for token, likeliest in enumerate(logits.argmax(-1).tolist()):
        if places[token][0] == places[token][1]:
            continue
        place, tag = parts[likeliest]
        if tag == OUTSIDE:
            ended = True
            continue
        if ended or tag != groups[-1][0] or place in _BEGINS:
            groups.append((tag, []))
        groups[-1][1].append(token)
        ended = place in _ENDS
    for tag, tokens in groups:
        start, end = without_space_around(text, (places[tokens[0]][0], places[tokens[-1]][1]))
        if end > start:
            yield {"start": start, "end": end, "label": tag, "prob": float(probs[tokens].max(-1).mean())}


def _parts_of(labels: Sequence[str]) -> list[tuple[str, str]]:
    """Of `B-PER` the `B` and the tag `PER`; a name without such a beginning is a tag.

    B and I are always beginnings, as for transformers. The others are only if there are spans of the tag that
    have a B or an I: `E-Mail` and `U-Bahn` are names.
    """
    split = [label.partition("-") for label in labels]
    tags = {tag for place, _, tag in split if place in _BEGIN_AND_INSIDE}
    return [
        (place, tag)
        if dash and (place in _BEGIN_AND_INSIDE or (place in (*_BEGINS, *_ENDS) and tag in tags))
        else ("", label)
        for label, (place, dash, tag) in zip(labels, split, strict=True)
    ]
