"""Section `label` of the job file: the choices of all rows, or several questions about each."""

import re
from collections import Counter
from typing import Annotated, Any

from pydantic import ConfigDict, Field, WithJsonSchema, model_validator

from pipeline.config.section import Section
from pipeline.tasks.label_calibration import Calibrate, ReviewBelow, Temperature
from pipeline.tasks.label_choices import as_written, named_texts, require_different
from pipeline.tasks.label_question import Question
from pipeline.tasks.label_question_section import QuestionSection
from pipeline.tasks.label_trust import LabelTrust

_NAME = re.compile("[a-z0-9_]+")


class LabelSection(Section):
    """The labels that a row may get, or the questions about it, each with its own."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": ["choices"], "properties": {"choices": {"type": ["array", "object"]}}},
                {"required": ["questions"], "properties": {"questions": {"type": "object"}}},
            ]
        }
    )
    choices: Annotated[dict[str, str], WithJsonSchema(as_written(), mode="validation")] | None = Field(
        default=None,
        description="The labels, at least two: a list of texts, or a mapping of each label's name to the "
        "text by which the model says it.",
        examples=[["billing", "shipping", "returns"], {"positive": "good", "negative": "bad"}],
    )
    questions: dict[str, QuestionSection] | None = Field(
        default=None,
        min_length=1,
        description="Several questions about each row, by name, in place of `choices`: all are answered in "
        "one forward pass. Names are of small letters, digits and underscores. `input.prompt.template` must "
        "hold `{{ question }}` once.",
        json_schema_extra={"propertyNames": {"pattern": f"^{_NAME.pattern}$"}},
        examples=[{"urgent": {"type": "predicate", "instructions": "Is it urgent? yes or no"}}],
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
        return {**data, "choices": named_texts(choices)}

    @model_validator(mode="after")
    def _choices_or_questions(self) -> "LabelSection":
        if (self.choices is None) == (self.questions is None):
            found = "none" if self.choices is None else "both"
            raise ValueError(f"give either choices or questions (found: {found})")
        if self.choices is not None:
            require_different(self.choices)
        if self.questions is not None:
            for key in ("known_column", "calibrate", "temperature", "review_below"):
                if key in self.model_fields_set and getattr(self, key) is not None:
                    raise ValueError(f"{key} has no effect with questions: write it into a question")
        for name in self.questions or {}:
            if not _NAME.fullmatch(name):
                raise ValueError(
                    f"questions: a name is of small letters, digits and underscores, got {name!r}"
                )
        columns = Counter(column for question in self.asked for column, _ in question.columns)
        if doubled := sorted(column for column, count in columns.items() if count > 1):
            raise ValueError(
                f"questions: two of them would have the column {doubled[0]}: give one of them another name"
            )
        return self

    @property
    def asked(self) -> list[Question]:
        """All questions; of a job with `choices` the only one."""
        if self.questions is None:
            choices = self.choices or {}
            return [Question(None, choices, trust=LabelTrust(self, texts=choices))]
        return [Question.of(name, question) for name, question in self.questions.items()]
