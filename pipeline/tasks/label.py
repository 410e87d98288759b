"""Task label: each row is given one of the job's choices, with the probability of every choice."""

from collections.abc import Container, Mapping, Sequence
from copy import copy
from typing import Annotated, Any, Self

import pyarrow as pa
from pydantic import Field, WithJsonSchema, model_validator

from pipeline.config.job_yaml import no_text
from pipeline.config.section import Section
from pipeline.reporting import label_mass
from pipeline.reporting.exhibit import Exhibit
from pipeline.task import Column, Task
from pipeline.tasks.label_calibration import Calibrate, ReviewBelow, Temperature
from pipeline.tasks.label_rows import LabelRows
from pipeline.tasks.label_trust import NEEDS_REVIEW, PROBS, LabelTrust, review_fact, reviewed
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.prompts import PromptBuilder

# What a job file may hold. Validation turns a list into a mapping of each text to itself.
_AS_WRITTEN = {
    "anyOf": [
        {"type": "array", "items": {"type": ["string", "integer"]}, "minItems": 2, "uniqueItems": True},
        {"type": "object", "additionalProperties": {"type": ["string", "integer"]}, "minProperties": 2},
    ]
}


class LabelSection(Section):
    """The labels that a row may get."""

    choices: Annotated[dict[str, str], WithJsonSchema(_AS_WRITTEN, mode="validation")] = Field(
        description="The labels, at least two: a list of texts, or a mapping of each label's name to the "
        "text by which the model says it.",
        examples=[["billing", "shipping", "returns"], {"positive": "good", "negative": "bad"}],
    )
    known_column: str | None = Field(
        default=None,
        description="One of the `input.keep` columns, which holds the right labels: the report then gives "
        "accuracy, precision and recall, and how far probabilities can be trusted.",
        examples=["queue"],
    )
    calibrate: Calibrate = None
    temperature: Temperature = 1.0
    review_below: ReviewBelow = None

    @model_validator(mode="before")
    @classmethod
    def _names_stand_for_themselves(cls, data: Any) -> Any:
        choices = data.get("choices") if isinstance(data, dict) else None
        if not isinstance(choices, list | dict):
            return data
        names = [_text(name) for name in choices]
        if len(set(names)) != len(names):
            raise ValueError(f"choices must differ from each other, got {names}")
        texts = map(_text, choices.values()) if isinstance(choices, dict) else names
        return {**data, "choices": dict(zip(names, texts, strict=True))}

    @model_validator(mode="after")
    def _at_least_two(self) -> "LabelSection":
        if len(self.choices) < 2:
            raise ValueError(f"choices must be at least two, got {list(self.choices)}")
        if len(set(self.choices.values())) != len(self.choices):
            raise ValueError("two choices have the same text, so no model could tell them apart")
        return self


def _text(choice: object) -> str:
    """A name or a text of a choice; integers are taken as they were written. ValueError for all else."""
    if isinstance(choice, str):
        return choice
    if type(choice) is not int:
        raise ValueError(f"each choice must be text, {no_text(choice)}")
    return str(choice)


class Label(Task[LabelSection]):
    section_name = "label"
    section_model = LabelSection
    columns: Sequence[Column] = (
        ("label", pa.string()),
        ("label_prob", pa.float64()),
        ("label_probs", PROBS),
        ("label_mass", pa.float64()),
    )
    report_keys = ("label_mass", "label_quality", "needs_review")

    def __init__(self, section: LabelSection) -> None:
        super().__init__(section)
        self._trust = LabelTrust(section)
        review = [NEEDS_REVIEW] if self._trust.reviews else []
        self.columns = (*Label.columns, *self._trust.columns, *review)

    @classmethod
    def check(cls, section: LabelSection, kept_columns: Container[str]) -> None:
        if section.known_column is not None and section.known_column not in kept_columns:
            raise ValueError(f"label.known_column {section.known_column!r} must be one of input.keep")

    def with_prompts(self, prompts: PromptBuilder) -> Self:
        fitted = copy(self)
        fitted._trust = self._trust.with_prompts(prompts)
        return fitted

    def requests(self, prompt_format: PromptFormat) -> LabelRows:
        section = self.section
        return LabelRows(prompt_format, section.choices, self._trust.calibration, section.review_below)

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        return self._trust.known_and_right(rows)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        masses = label_mass.measured(rows["label_mass"].to_pylist())
        return masses | reviewed(rows) | self._trust.measured(rows)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        known, right = totals["known"], totals["right"]
        accuracy, of_mass = f"{right / known:.2%}" if known else None, label_mass.fact(totals)
        return [
            *([("accuracy on known labels", accuracy)] if accuracy else []),
            *self._trust.facts(totals),
            *review_fact(totals),
            *([("label mass", of_mass)] if of_mass else []),
        ]

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        return {
            "label_mass": label_mass.distribution(totals),
            "label_quality": self._trust.report(totals),
            "needs_review": totals.get("needs_review"),
        }

    def exhibits(self, totals: Mapping[str, int]) -> list[Exhibit]:
        return self._trust.exhibits(totals)

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        doubt = label_mass.doubt(totals)
        return [doubt] if doubt else []
