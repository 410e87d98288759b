"""A question that task label asks of each row: its columns, what stands in them, and what is reported."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from model.requests.choice_scores import mass, normalised
from pipeline.reporting import label_mass
from pipeline.task import Column
from pipeline.tasks.label_question_section import Kind, QuestionSection

PROBS = pa.list_(pa.struct([("label", pa.string()), ("prob", pa.float64())]))
_TYPES = {"choice": pa.string(), "predicate": pa.bool_(), "score": pa.float64()}


@dataclass(frozen=True)
class Question:
    """One of several by its name; None: the only question of a job with `label.choices`."""

    name: str | None
    choices: Mapping[str, str]  # by name: the text by which the model says it
    kind: Kind = "choice"
    known_column: str | None = None

    @classmethod
    def of(cls, name: str, section: QuestionSection) -> "Question":
        return cls(name, section.texts, section.type, section.known_column)

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
        column = self.column
        return (
            (column, _TYPES[self.kind]),
            (f"{column}_prob", pa.float64()),
            (f"{column}_probs", PROBS),
            (f"{column}_mass", pa.float64()),
        )

    def values(self, logprobs: list[float]) -> dict[str, Any]:
        """Of a row, by column: what follows from the log-probabilities of the choices."""
        probabilities = dict(zip(self.choices, normalised(logprobs), strict=True))
        label = max(probabilities, key=lambda name: probabilities[name])
        answer: Any = label
        prob = probabilities[label]
        if self.kind == "predicate":
            answer, prob = label == "true", probabilities["true"]
        elif self.kind == "score":
            answer = sum(level * prob for level, prob in enumerate(probabilities.values()))
        probs = [{"label": name, "prob": prob} for name, prob in probabilities.items()]
        names = (name for name, _ in self.columns)
        return dict(zip(names, (answer, prob, probs, mass(logprobs)), strict=True))

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        """Rows with a known answer, and those of them in which it is the likeliest choice."""
        if self.known_column is None:
            return 0, 0
        labels, answers = self._likeliest(rows), _known(rows, self.known_column)
        right = [
            label in self._spellings(answer)
            for label, answer in zip(labels, answers, strict=True)
            if label is not None and answer is not None
        ]
        return len(right), sum(right)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        """Numbers of a shard's rows, by names that no other question's have."""
        numbers = label_mass.measured(rows[f"{self.column}_mass"].to_pylist())
        if self.name is None:
            return numbers
        known, right = self.known_and_right(rows)
        counts = {"known": known, "right": right} if self.known_column is not None else {}
        return {f"{self.name} {name}": number for name, number in {**numbers, **counts}.items()}

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        """What the report says, each fact with its name."""
        own, of = self._own(totals), "" if self.name is None else f" of {self.name}"
        accuracy = _accuracy(own)
        facts = {
            f"accuracy on known labels{of}": None if accuracy is None else f"{accuracy:.2%}",
            f"label mass{of}": label_mass.fact(own),
        }
        return [(name, fact) for name, fact in facts.items() if fact is not None]

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        """The same for report.json."""
        own = self._own(totals)
        return {
            "known": own["known"], "accuracy": _accuracy(own), "label_mass": label_mass.distribution(own)
        }  # fmt: skip

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

    def _likeliest(self, rows: pa.Table) -> list[str | None]:
        """The name of each row's likeliest choice."""
        if self.kind == "choice":
            labels: list[str | None] = rows[self.column].to_pylist()
            return labels
        each = rows[f"{self.column}_probs"].to_pylist()
        return [max(probs, key=lambda one: one["prob"])["label"] if probs else None for probs in each]

    def _spellings(self, answer: Any) -> set[str]:
        """The names of a choice that a known answer stands for: 1 is also "1", 1.0 too, and true is "true".

        A number that is no level's name counts levels from 0.
        """
        spellings = {str(answer)}
        if isinstance(answer, bool):
            spellings.add(str(answer).lower())
        elif isinstance(answer, float) and answer.is_integer():
            spellings.add(str(int(answer)))
        if self.kind == "score" and not spellings.intersection(self.choices):
            levels = [*self.choices]
            spellings.update(level for place, level in enumerate(levels) if str(place) in spellings)
        return spellings


def _accuracy(own: Mapping[str, int]) -> float | None:
    return own["right"] / own["known"] if own.get("known") else None


def _known(rows: pa.Table, column: str) -> list[Any]:
    """The values of a kept column, those too that do not fit its type."""
    values: list[Any] = rows[column].to_pylist()
    for row, text in enumerate(rows["kept_unfit"].to_pylist()):
        if text and values[row] is None:
            values[row] = json.loads(text).get(column)
    return values
