"""A question of `label.questions` as the job file writes it: its type, its words, and its choices."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, WithJsonSchema, model_validator

from pipeline.config.section import Section
from pipeline.tasks.label_calibration import Calibrate, ReviewBelow, Temperature
from pipeline.tasks.label_choices import Choice, as_written, by_truth, named_choices, require_different

Kind = Literal["choice", "predicate", "score"]
_AS_WRITTEN = WithJsonSchema(as_written(described=True), mode="validation")
YES_AND_NO = {"true": "yes", "false": "no"}


class QuestionSection(Section):
    """A question about each row."""

    type: Kind = Field(
        default="choice",
        description="`choice`: which of the choices. `predicate`: whether it is so. `score`: how much, by "
        "levels in ascending order.",
        examples=["predicate"],
    )
    instructions: str = Field(
        description="What stands in the prompt for `{{ question }}`.",
        examples=["The customer needs an answer today. Yes or no?"],
    )
    choices: Annotated[dict[str, Choice], _AS_WRITTEN] | None = Field(
        default=None,
        description="Of a choice: as `label.choices`; an item may also be `{value, description}`, which "
        '`{{ options }}` prints. Of a predicate: the texts of its two answers, `{true: "yes", false: "no"}` '
        "if not set.",
        examples=[
            ["billing", {"value": "returns", "description": "sends something back"}],
            {"true": "Ja", "false": "Nein"},
        ],
    )
    levels: Annotated[dict[str, Choice], _AS_WRITTEN] | None = Field(
        default=None,
        description="Of a score: its levels, the lowest one first, in the forms of choices.",
        examples=[["calm", "annoyed", "furious"]],
    )
    known_column: str | None = Field(
        default=None,
        description="One of the `input.keep` columns, which holds the right answers: the report then gives "
        "accuracy, precision and recall, and how far probabilities can be trusted.",
        examples=["queue"],
    )
    calibrate: Calibrate = None
    temperature: Temperature = 1.0
    review_below: ReviewBelow = None

    @property
    def answers(self) -> Mapping[str, Choice]:
        """Choices or levels by name."""
        given = self.levels if self.type == "score" else self.choices
        if self.type != "predicate":
            return given or {}
        return given or {name: Choice(value=text) for name, text in YES_AND_NO.items()}

    @property
    def texts(self) -> dict[str, str]:
        """By name: the text by which the model says it."""
        return {name: choice.value for name, choice in self.answers.items()}

    @property
    def options(self) -> str:
        """What stands in the prompt for `{{ options }}`: the choices, one a line."""
        return "\n".join(
            choice.value if choice.description is None else f"{choice.value}: {choice.description}"
            for choice in self.answers.values()
        )

    @model_validator(mode="before")
    @classmethod
    def _each_has_a_name(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        named = {}
        for key in ("choices", "levels"):
            given = data.get(key)
            if isinstance(given, dict) and data.get("type") == "predicate":
                given = by_truth(given)
            if isinstance(given, list | dict):
                named[key] = named_choices(given)
        return {**data, **named}

    @model_validator(mode="after")
    def _choices_fit_the_type(self) -> "QuestionSection":
        if not self.instructions.strip():
            raise ValueError("instructions: write what is asked, it is empty")
        wanted = "levels" if self.type == "score" else "choices"
        other = "choices" if self.type == "score" else "levels"
        if getattr(self, other) is not None:
            raise ValueError(f"{other} has no effect with type {self.type}: it has {wanted}")
        if self.type != "predicate" and getattr(self, wanted) is None:
            raise ValueError(f"type {self.type} needs {wanted}, at least two")
        if self.type == "predicate" and {*(self.choices or YES_AND_NO)} != {*YES_AND_NO}:
            raise ValueError(
                'choices of a predicate are {true: "...", false: "..."}, the texts of its answers, got '
                f"{[*(self.choices or ())]}"
            )
        require_different(self.texts)
        return self
