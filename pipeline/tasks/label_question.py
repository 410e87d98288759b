"""A question that task label asks of each row: its columns, what stands in them, and what is reported."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from model.requests.choice_scores import mass, normalised
from pipeline.reporting import label_mass
from pipeline.reporting.exhibit import Exhibit
from pipeline.task import Column
from pipeline.tasks.label_question_section import Kind, QuestionSection
from pipeline.tasks.label_trust import PROBS, LabelTrust, NothingAsked
from pipeline.text.prompts import PromptBuilder

_TYPES = {"choice": pa.string(), "predicate": pa.bool_(), "score": pa.float64()}
NOT_ASKED = LabelTrust(NothingAsked())


def columns_of(column: str, kind: Kind) -> tuple[Column, ...]:
    """Those that every question has; `column` is the first of them."""
    return (
        (column, _TYPES[kind]),
        (f"{column}_prob", pa.float64()),
        (f"{column}_probs", PROBS),
        (f"{column}_mass", pa.float64()),
    )


@dataclass(frozen=True)
class Question:
    """One of several by its name; None: the only question of a job with `label.choices`."""

    name: str | None
    choices: Mapping[str, str]  # by name: the text by which the model says it
    kind: Kind = "choice"
    trust: LabelTrust = NOT_ASKED

    @classmethod
    def of(cls, name: str, section: QuestionSection) -> "Question":
        trust = LabelTrust(section, name, section.texts, section.type)
        return cls(name, section.texts, section.type, trust)

    def with_prompts(self, prompts: PromptBuilder, given: Collection[str]) -> "Question":
        """With the prompts by which it is calibrated: see `LabelTrust.with_prompts`."""
        return replace(self, trust=self.trust.with_prompts(prompts, given))

    def named(self, logprobs: Sequence[float]) -> dict[str, float]:
        """Log-probabilities of its choices, [C], by the choices' names."""
        return dict(zip(self.choices, logprobs, strict=True))

    def knowing(self, answers: Mapping[str, Mapping[str, float]]) -> "Question":
        """With the answers to those prompts: by prior text, log-probabilities of its choices as `named`."""
        texts = self.trust.calibration.prompts
        listed = [[answers[text][name] for name in self.choices] for text in texts]
        return replace(self, trust=self.trust.knowing(listed, [*self.choices]))

    @property
    def key(self) -> str:
        """Of the job file, under which its choices stand."""
        if self.name is None:
            return "label.choices"
        return f"label.questions.{self.name}.{'levels' if self.kind == 'score' else 'choices'}"

    @property
    def column(self) -> str:
        """The name of its first column, with which those of the others begin."""
        return "label" if self.name is None else f"label_{self.name}"

    @property
    def columns(self) -> Sequence[Column]:
        return (*columns_of(self.column, self.kind), *self.trust.columns)

    def values(self, logprobs: list[float]) -> dict[str, Any]:
        """Of a row, by column: what follows from the log-probabilities of the choices."""
        calibration = self.trust.calibration
        probabilities = dict(zip(self.choices, calibration.probabilities(logprobs), strict=True))
        label = max(probabilities, key=lambda name: probabilities[name])
        answer: Any = label
        prob = probabilities[label]
        if self.kind == "predicate":
            answer, prob = label == "true", probabilities["true"]
        elif self.kind == "score":
            answer = sum(level * prob for level, prob in enumerate(probabilities.values()))
        values = [answer, prob, _listed(probabilities), mass(logprobs)]
        if calibration.changes:
            values.append(_listed(dict(zip(self.choices, normalised(logprobs), strict=True))))
        return dict(zip((name for name, _ in self.columns), values, strict=True))

    def is_unsure(self, values: Mapping[str, Any]) -> bool:
        """Whether `review_below` marks a row with these values."""
        below = self.trust.review_below
        return below is not None and max(one["prob"] for one in values[f"{self.column}_probs"]) < below

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        """Rows with a known answer, and those of them in which it is the likeliest choice."""
        return self.trust.known_and_right(rows)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        """Numbers of a shard's rows, by names that no other question's have."""
        numbers = label_mass.measured(rows[f"{self.column}_mass"].to_pylist())
        if self.name is not None:
            numbers = {f"{self.name} {name}": number for name, number in numbers.items()}
        return numbers | self.trust.measured(rows)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        """What the report says, each fact with its name."""
        of = "" if self.name is None else f" of {self.name}"
        of_mass = label_mass.fact(self._own(totals))
        return [
            *self.trust.facts(totals), *([] if of_mass is None else [(f"label mass{of}", of_mass)])
        ]  # fmt: skip

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        """The same for report.json."""
        quality = self.trust.report(totals)
        return {
            "known": quality["rows"] if quality else 0,
            "accuracy": quality["accuracy"] if quality else None,
            "label_mass": label_mass.distribution(self._own(totals)),
            "label_quality": quality,
        }

    def exhibits(self, totals: Mapping[str, int]) -> list[Exhibit]:
        """Pictures and tables for the report's page."""
        return self.trust.exhibits(totals)

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        doubt = label_mass.doubt(self._own(totals), f"{self.column}_mass")
        return [*([doubt] if doubt else []), *self.trust.warnings(totals)]

    def _own(self, totals: Mapping[str, int]) -> Mapping[str, int]:
        """Of all totals, those of its mass, by the names that they have with a single question."""
        if self.name is None:
            return totals
        begin = f"{self.name} "
        return {name.removeprefix(begin): n for name, n in totals.items() if name.startswith(begin)}


def _listed(probabilities: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"label": name, "prob": prob} for name, prob in probabilities.items()]
