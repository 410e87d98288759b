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
        levels = [*section.texts] if section.type == "score" else []
        return cls(name, section.texts, section.type, LabelTrust(section, name, levels))

    def with_prompts(self, prompts: PromptBuilder, given: Collection[str]) -> "Question":
        """With the prompts by which it is calibrated: see `LabelTrust.with_prompts`."""
        return replace(self, trust=self.trust.with_prompts(prompts, given))

    def knowing(self, answers: Sequence[Sequence[float]]) -> "Question":
        """With the answers to those prompts, log-probabilities of its choices."""
        return replace(self, trust=self.trust.knowing(answers, [*self.choices]))

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
            known, right = self.known_and_right(rows)
            counts = {"known": known, "right": right} if self.trust.has_known else {}
            numbers = {f"{self.name} {name}": number for name, number in {**numbers, **counts}.items()}
        return numbers | self.trust.measured(rows)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        """What the report says, each fact with its name."""
        own, of = self._own(totals), "" if self.name is None else f" of {self.name}"
        accuracy, of_mass = _accuracy(own), label_mass.fact(own)
        return [
            *([] if accuracy is None else [(f"accuracy on known labels{of}", f"{accuracy:.2%}")]),
            *self.trust.facts(totals),
            *([] if of_mass is None else [(f"label mass{of}", of_mass)]),
        ]

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        """The same for report.json."""
        own = self._own(totals)
        return {
            "known": own["known"],
            "accuracy": _accuracy(own),
            "label_mass": label_mass.distribution(own),
            "label_quality": self.trust.report(totals),
        }

    def exhibits(self, totals: Mapping[str, int]) -> list[Exhibit]:
        """Pictures and tables for the report's page."""
        return self.trust.exhibits(totals)

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        doubt = label_mass.doubt(self._own(totals), f"{self.column}_mass")
        return [doubt] if doubt else []

    def _own(self, totals: Mapping[str, int]) -> Mapping[str, int]:
        """Of all totals, those of this question, by the names that they have with a single one."""
        if self.name is None:
            return totals
        begin = f"{self.name} "
        named = {name.removeprefix(begin): n for name, n in totals.items() if name.startswith(begin)}
        return {"known": 0, "right": 0, **named}


def _accuracy(own: Mapping[str, int]) -> float | None:
    return own["right"] / own["known"] if own.get("known") else None


def _listed(probabilities: Mapping[str, float]) -> list[dict[str, Any]]:
    return [{"label": name, "prob": prob} for name, prob in probabilities.items()]
