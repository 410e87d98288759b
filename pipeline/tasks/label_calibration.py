"""What is made of the choices' log-probabilities before they are published: calibration, and a temperature.

Contextual calibration (Zhao et al. 2021, Calibrate Before Use, arXiv 2102.09690, section 5): how probable the
choices are behind prompts without content is what the model would say whatever the row holds. Their
probabilities are divided by it and made to sum to 1 again. With prior p(c) and temperature T a choice of
log-probability l(c) gets exp((l(c) - log p(c)) / T), over the sum of that of all choices.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

from pydantic import AfterValidator, Field

from model.requests.choice_scores import normalised
from pipeline.config.section import Section, distinct
from pipeline.errors import ConfigError
from pipeline.text.prompts import Prompt


class CalibrateSection(Section):
    """What the model says of prompts without content is divided out of the probabilities."""

    prior: Annotated[list[str], Field(min_length=1, max_length=64), AfterValidator(distinct)] = Field(
        default=["N/A", ""],
        description="Texts without content. Each in turn replaces every column that the prompt is made of; "
        "the choices' probabilities behind these prompts are averaged.",
        examples=[["N/A", "", "[MASK]"]],
        json_schema_extra={"uniqueItems": True},
    )


# Keys of a set of choices, wherever it stands in the job file.
Calibrate = Annotated[
    CalibrateSection | None,
    Field(
        description="Contextual calibration: what the model says of prompts without content is divided out."
    ),
]
Temperature = Annotated[
    float,
    Field(
        gt=0.0,
        description="The choices' log-probabilities are divided by it, and their probabilities made to sum "
        "to 1 again: above 1 all labels become less sure, below 1 surer. The report names the one that fits "
        "`known_column` best, and applies none but this.",
        examples=[1.7],
    ),
]
ReviewBelow = Annotated[
    float | None,
    Field(
        ge=0.0,
        le=1.0,
        description="Rows whose label has a probability below this are marked in the column `needs_review`, "
        "and counted in the report.",
        examples=[0.7],
    ),
]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Of one set of C choices.

    key          of the job file, which asks for it
    wants_prior  whether a prior is to be divided out
    prompts      those without content, by the text that stands in place of the content
    unseen       columns of the content that these prompts do not show
    prior        log-probabilities of the choices behind them, [C]; None as long as nobody knows them
    """

    key: str = "label.calibrate"
    wants_prior: bool = False
    temperature: float = 1.0
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    unseen: Sequence[str] = ()
    prior: Sequence[float] | None = None

    @property
    def changes(self) -> bool:
        """Whether probabilities differ from those that the model gives."""
        return self.wants_prior or self.temperature != 1.0

    def probabilities(self, logprobs: Sequence[float]) -> list[float]:
        """The model's log-probabilities of the choices, [C] -> what is published, [C], summing to 1."""
        assert self.prior is not None or not self.wants_prior, "the model has not been asked for the prior"
        prior = self.prior or [0.0] * len(logprobs)
        without = [own - of for own, of in zip(logprobs, prior, strict=True)]
        largest = max(without)  # so that a tiny temperature overflows nothing
        return normalised([(one - largest) / self.temperature for one in without])

    def knowing(self, answers: Sequence[Sequence[float]], names: Sequence[str]) -> "Calibration":
        """With the model's log-probabilities of the choices, so called, behind each of the prompts."""
        return replace(self, prior=averaged(answers, names, self.key))


def averaged(
    answers: Sequence[Sequence[float]], names: Sequence[str], key: str = "label.calibrate"
) -> list[float]:
    """Log-probabilities [P, C] behind P prompts -> those of the mean of their normalised probabilities, [C].

    ConfigError if one of the choices, which are so called, has none: nothing can be divided by 0.
    """
    shares = [normalised([*answer]) for answer in answers]
    prior = [math.fsum(of_choice) / len(shares) for of_choice in zip(*shares, strict=True)]
    for name, prob in zip(names, prior, strict=True):
        if not prob > 0.0:
            raise ConfigError(
                f"{key}: the model gives {name!r} no probability behind prompts without content, "
                "so it can't be divided out: choose other texts as prior, or leave calibrate out"
            )
    return [math.log(prob) for prob in prior]
