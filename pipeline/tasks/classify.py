"""Task classify: each prompt's label, or its value, by a classifier or a reward model."""

import math
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from copy import copy
from typing import Any, Self

import pyarrow as pa
from pydantic import Field

from model.config import ModelConfig
from model.requests.choice_scores import normalised
from model.requests.label_logits import LabelLogits
from model.requests.request import Completion, Request
from model.trained_head import UNSTATED, HeadKind, TrainedHead
from pipeline.config.section import Section
from pipeline.errors import ConfigError
from pipeline.reporting.exhibit import Exhibit
from pipeline.row_requests import Finish, Outcome, RowRequests
from pipeline.task import Closed, Task
from pipeline.tasks.label import Label
from pipeline.tasks.label_trust import LabelTrust, NothingAsked
from pipeline.text.prompt_format import PromptFormat

_AS_LABEL = ("label", "label_prob", "label_probs")
_COUNT = "label "  # begins the names of what is counted
_MOST_NAMED = 8  # labels, in the report


class ClassifySection(Section):
    """Labels and values are the checkpoint's own. Without known labels, leave the section out."""

    known_column: str | None = Field(
        default=None,
        description="One of the `input.keep` columns, which holds the right labels: the report then gives "
        "the accuracy, precision and recall, and how far probabilities can be trusted.",
        examples=["queue"],
    )


class Classify(Task[ClassifySection]):
    section_name = "classify"
    section_model = ClassifySection
    heads = frozenset({HeadKind.SEQUENCE})
    columns = (*(one for one in Label.columns if one[0] in _AS_LABEL), ("label_value", pa.float64()))
    trained = UNSTATED
    report_keys = ("label_quality",)

    def __init__(self, section: ClassifySection) -> None:
        super().__init__(section)
        self._trust = LabelTrust(NothingAsked(section.known_column), where="classify")

    @classmethod
    def check(cls, section: ClassifySection, kept_columns: Container[str]) -> None:
        if section.known_column is not None and section.known_column not in kept_columns:
            raise ValueError(f"classify.known_column {section.known_column!r} must be one of input.keep")

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
        if self.section.known_column is not None and (trained.problem == "any" or len(trained.labels) == 1):
            raise ConfigError(
                "classify.known_column: this checkpoint does not give one label a row; it gives "
                f"{in_words(trained)}"
            )
        fitted = copy(self)
        fitted.trained = trained
        return fitted

    def requests(self, prompt_format: PromptFormat | None) -> "ClassifyRows":
        return ClassifyRows(self.trained)

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        return self._trust.known_and_right(rows)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        found = Counter(label for label in rows["label"].to_pylist() if label is not None)
        return {_COUNT + label: count for label, count in found.items()} | self._trust.measured(rows)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        found = Counter({name: count for name, count in totals.items() if name.startswith(_COUNT)})
        named = [f"{name.removeprefix(_COUNT)} {count:,}" for name, count in found.most_common(_MOST_NAMED)]
        if len(found) > _MOST_NAMED:
            named.append(f"{len(found) - _MOST_NAMED:,} more")
        return [*self._trust.facts(totals), *([("labels", ", ".join(named))] if named else [])]

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        return {"label_quality": self._trust.report(totals)}

    def exhibits(self, totals: Mapping[str, int]) -> list[Exhibit]:
        return self._trust.exhibits(totals)

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        return self._trust.warnings(totals)


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
