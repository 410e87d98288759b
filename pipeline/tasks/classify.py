"""Task classify: each prompt's label, or its value, by a classifier or a reward model."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Self

import pyarrow as pa

from model.config import ModelConfig
from model.requests.choice_scores import normalised
from model.requests.label_logits import LabelLogits
from model.requests.request import Completion, Request
from model.trained_head import UNSTATED, HeadKind, TrainedHead
from pipeline.config.section import Section
from pipeline.errors import ConfigError
from pipeline.task import Closed, Finish, Outcome, RowRequests, Task
from pipeline.tasks.label import Label
from pipeline.text.prompt_format import PromptFormat

_AS_LABEL = ("label", "label_prob", "label_probs")
_COUNT = "label "  # begins the names of what is counted
_MOST_NAMED = 8  # labels, in the report


class ClassifySection(Section):
    """Labels and values are the checkpoint's own. There is nothing to set: leave the section out."""


class Classify(Task[ClassifySection]):
    section_name = "classify"
    section_model = ClassifySection
    heads = frozenset({HeadKind.SEQUENCE})
    columns = (*(one for one in Label.columns if one[0] in _AS_LABEL), ("label_value", pa.float64()))
    trained = UNSTATED

    @property
    def needs_tokenizer(self) -> bool:
        return False

    @property
    def closed(self) -> Closed:
        return "as_tokenizer"

    def for_model(self, model: ModelConfig) -> Self:
        trained = model.trained
        if trained.problem == "values" and len(trained.labels) > 1:
            raise ConfigError(
                f"task: classify gives one value a row, and this checkpoint gives {len(trained.labels)} "
                "(problem_type in its config.json is regression)"
            )
        fitted = copy(self)
        fitted.trained = trained
        return fitted

    def requests(self, prompt_format: PromptFormat | None) -> "ClassifyRows":
        return ClassifyRows(self.trained)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        found = Counter(label for label in rows["label"].to_pylist() if label is not None)
        return {_COUNT + label: count for label, count in found.items()}

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        found = Counter({name: count for name, count in totals.items() if name.startswith(_COUNT)})
        named = [f"{name.removeprefix(_COUNT)} {count:,}" for name, count in found.most_common(_MOST_NAMED)]
        if len(found) > _MOST_NAMED:
            named.append(f"{len(found) - _MOST_NAMED:,} more")
        return [("labels", ", ".join(named))] if named else []


class ClassifyRows(RowRequests):
    def __init__(self, trained: TrainedHead) -> None:
        self._trained = trained
        self._readout = LabelLogits()

    def cache_tokens(self, context: int) -> int:
        return 0

    def start(self, key: str, prompt_token_ids: list[int], params: str | None) -> tuple[Request, Finish]:
        return Request(key, prompt_token_ids, readout=self._readout), self._finish

    def facts(self) -> list[tuple[str, str]]:
        return [("labels", in_words(self._trained))]

    def _finish(self, completion: Completion) -> Outcome:
        [logits] = completion.answer.tolist()
        labels = self._trained.labels
        if len(labels) == 1:
            return Outcome(values={"label_value": logits[0]}, routing=completion.routing)
        probs = [*map(_sigmoid, logits)] if self._trained.problem == "any" else normalised(logits)
        likeliest = max(range(len(probs)), key=probs.__getitem__)
        values = {
            "label": labels[likeliest],
            "label_prob": probs[likeliest],
            "label_probs": [
                {"label": label, "prob": prob} for label, prob in zip(labels, probs, strict=True)
            ],
        }
        return Outcome(values=values, routing=completion.routing)


def in_words(trained: TrainedHead) -> str:
    """What the checkpoint says of a prompt, for people."""
    if len(trained.labels) == 1:
        return "none: one value a row, label_value"
    how = "any number of them" if trained.problem == "any" else "one of them"
    return f"{how}: {shown_labels(trained.labels)}"


def shown_labels(labels: Sequence[str]) -> str:
    """The first ones, for people."""
    more = f" and {len(labels) - _MOST_NAMED:,} more" if len(labels) > _MOST_NAMED else ""
    return ", ".join(labels[:_MOST_NAMED]) + more


def _sigmoid(logit: float) -> float:
    """Exact where the exponential would overflow."""
    small = math.exp(-abs(logit))
    return 1.0 / (1.0 + small) if logit >= 0 else small / (1.0 + small)
