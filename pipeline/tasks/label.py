"""Task label: each row is given one of the job's choices, with the probability of every choice."""

import json
from collections.abc import Container, Mapping
from typing import Annotated, Any

import pyarrow as pa
from pydantic import Field, WithJsonSchema, model_validator

from pipeline.config.job_yaml import no_text
from pipeline.config.section import Section
from pipeline.reporting import label_mass
from pipeline.task import Task
from pipeline.tasks.label_rows import LabelRows
from pipeline.text.prompt_format import PromptFormat

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
        "the accuracy.",
        examples=["queue"],
    )

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
    columns = (
        ("label", pa.string()),
        ("label_prob", pa.float64()),
        ("label_probs", pa.list_(pa.struct([("label", pa.string()), ("prob", pa.float64())]))),
        ("label_mass", pa.float64()),
    )
    report_keys = ("label_mass",)

    @classmethod
    def check(cls, section: LabelSection, kept_columns: Container[str]) -> None:
        if section.known_column is not None and section.known_column not in kept_columns:
            raise ValueError(f"label.known_column {section.known_column!r} must be one of input.keep")

    def requests(self, prompt_format: PromptFormat) -> LabelRows:
        return LabelRows(prompt_format, self.section.choices)

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        if self.section.known_column is None:
            return 0, 0
        labels, answers = rows["label"].to_pylist(), _known(rows, self.section.known_column)
        right = [
            label in _spellings(answer)
            for label, answer in zip(labels, answers, strict=True)
            if label is not None and answer is not None
        ]
        return len(right), sum(right)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        return label_mass.measured(rows["label_mass"].to_pylist())

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        known, right = totals["known"], totals["right"]
        accuracy = f"{right / known:.2%}" if known else None
        facts = {"accuracy on known labels": accuracy, "label mass": label_mass.fact(totals)}
        return [(name, fact) for name, fact in facts.items() if fact is not None]

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        return {"label_mass": label_mass.distribution(totals)}

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        doubt = label_mass.doubt(totals)
        return [doubt] if doubt else []


def _known(rows: pa.Table, column: str) -> list[Any]:
    """The values of a kept column, those too that do not fit its type."""
    values: list[Any] = rows[column].to_pylist()
    for row, text in enumerate(rows["kept_unfit"].to_pylist()):
        if text and values[row] is None:
            values[row] = json.loads(text).get(column)
    return values


def _spellings(answer: Any) -> set[str]:
    """The names of a choice that a known answer stands for: 1 is also "1", 1.0 too, and true is "true"."""
    spellings = {str(answer)}
    if isinstance(answer, bool):
        spellings.add(str(answer).lower())
    elif isinstance(answer, float) and answer.is_integer():
        spellings.add(str(int(answer)))
    return spellings
