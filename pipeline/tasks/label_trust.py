"""How far the labels of one set of choices can be trusted: those of the job, or of one of its questions.

It knows the keys `known_column`, `calibrate`, `temperature` and `review_below`, wherever they stand in the
job file: the columns that they add, what is measured by them, and what the report says of it.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import pyarrow as pa

from pipeline.reporting.exhibit import Exhibit
from pipeline.reporting.known_labels import known_and_right, known_answers
from pipeline.reporting.label_exhibits import doubt, exhibits, facts
from pipeline.reporting.label_quality import LabelQuality
from pipeline.task import Column
from pipeline.tasks.label_calibration import CalibrateSection, Calibration
from pipeline.tasks.label_known import choice_meant
from pipeline.tasks.label_prior import content_free_prompts, unseen_columns
from pipeline.text.prompts import PromptBuilder

PROBS = pa.list_(pa.struct([("label", pa.string()), ("prob", pa.float64())]))
NEEDS_REVIEW: Column = ("needs_review", pa.bool_())


class TrustKeys(Protocol):
    """Of a section of the job file that holds choices."""

    @property
    def known_column(self) -> str | None: ...
    @property
    def calibrate(self) -> CalibrateSection | None: ...
    @property
    def temperature(self) -> float: ...
    @property
    def review_below(self) -> float | None: ...


@dataclass(frozen=True)
class NothingAsked:
    """The keys as they are where none is set, or none but that of known labels."""

    known_column: str | None = None
    calibrate: None = None
    temperature: float = 1.0
    review_below: None = None


class LabelTrust:
    """`question` is the name of one, whose columns begin with `label_NAME`; or empty: with `label`.

    texts  those of the choices, by name
    kind   the question's type
    where  the keys stand in the job file, if not in a question
    """

    def __init__(
        self,
        section: TrustKeys,
        question: str = "",
        texts: Mapping[str, str] | None = None,
        kind: str = "choice",
        where: str = "label",
    ) -> None:
        self._section = section
        self._question = question
        self._texts, self._kind = texts or {}, kind
        self._where = f"label.questions.{question}" if question else where
        self._column = f"label_{question}" if question else "label"
        self._quality = LabelQuality(self._column, section.temperature)
        self.calibration = Calibration(
            key=f"{self._where}.calibrate",
            wants_prior=section.calibrate is not None,
            temperature=section.temperature,
        )

    @property
    def columns(self) -> list[Column]:
        """Beside those that every set of choices has, and NEEDS_REVIEW, which a job has once."""
        return [(f"{self._column}_probs_raw", PROBS)] if self.calibration.changes else []

    @property
    def review_below(self) -> float | None:
        return self._section.review_below

    def with_prompts(self, prompts: PromptBuilder, given: Collection[str] = ()) -> Self:
        """With the prompts without content by which it is calibrated; ConfigError if there are none.

        `given` are names of the template that hold no content of a row, such as a question's own.
        """
        section = self._section.calibrate
        if section is None:
            return self
        found = content_free_prompts(prompts, section.prior, given, self.calibration.key)
        said = next(filter(str.strip, section.prior), None)
        unseen = [] if said is None else unseen_columns(prompts, said, given)
        by_text = dict(zip(section.prior, found, strict=True))
        return self._with(replace(self.calibration, prompts=by_text, unseen=unseen))

    def knowing(self, answers: Sequence[Sequence[float]], names: Sequence[str]) -> Self:
        """With the model's log-probabilities of the choices, so called, behind each of these prompts."""
        return self._with(self.calibration.knowing(answers, names))

    def _with(self, calibration: Calibration) -> Self:
        fitted = copy(self)
        fitted.calibration = calibration
        return fitted

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        """Of a shard's rows: how many have a known answer, and in how many the likeliest choice is that."""
        if self._section.known_column is None:
            return 0, 0
        each = rows[f"{self._column}_probs"].to_pylist()
        likeliest = [max(probs, key=lambda one: one["prob"])["label"] if probs else None for probs in each]
        return known_and_right(likeliest, self._known(rows, self._section.known_column))

    def measured(self, rows: pa.Table) -> dict[str, int]:
        """Whole numbers of a shard's rows, which are added up over shards; none without known labels."""
        if self._section.known_column is None:
            return {}
        known = self._known(rows, self._section.known_column)
        return self._quality.measured(rows[f"{self._column}_probs"], known)

    def _known(self, rows: pa.Table, column: str) -> list[Any]:
        answers = known_answers(rows, column)
        return [None if one is None else choice_meant(one, self._texts, self._kind) for one in answers]

    def report(self, totals: Mapping[str, int]) -> dict[str, Any] | None:
        """For report.json; None if no row has a known label."""
        return self._quality.report(totals)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        """What the report says of it in a line each; nothing without known labels."""
        found = self.report(totals)
        return facts(found, self._question) if found else []

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        found = self.report(totals)
        sentence = doubt(found, f"{self._where}.known_column") if found else None
        return [sentence] if sentence else []

    def exhibits(self, totals: Mapping[str, int]) -> list[Exhibit]:
        """Pictures and tables for the report's page."""
        found = self.report(totals)
        own = not isinstance(self._section, NothingAsked)  # whether the section has these keys
        review = f"{self._where}.review_below" if own else None
        return exhibits(found, self._question, review) if found else []


def reviewed(rows: pa.Table) -> dict[str, int]:
    """How many of a shard's rows are marked; nothing where no key asks for it."""
    name = NEEDS_REVIEW[0]
    return {name: rows[name].to_pylist().count(True)} if name in rows.column_names else {}


def review_fact(totals: Mapping[str, int]) -> list[tuple[str, str]]:
    count = totals.get(NEEDS_REVIEW[0])
    if count is None or not totals["rows"]:
        return []
    return [("needs review", f"{count:,} rows ({count / totals['rows']:.2%})")]
