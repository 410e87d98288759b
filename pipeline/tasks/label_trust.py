"""How far the labels of one set of choices can be trusted: those of the job, or of one of its questions.

It knows the keys `known_column`, `calibrate`, `temperature` and `review_below`, wherever they stand in the
job file: the columns that they add, what is measured by them, and what the report says of it.
"""

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any, Protocol, Self

import pyarrow as pa

from pipeline.reporting.exhibit import Exhibit
from pipeline.reporting.known_labels import known_and_right, known_answers
from pipeline.reporting.label_exhibits import exhibits, facts
from pipeline.reporting.label_quality import LabelQuality
from pipeline.task import Column
from pipeline.tasks.label_calibration import CalibrateSection, Calibration, content_free_prompts
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


class LabelTrust:
    """`question` is the name of one, whose columns begin with `label_NAME`; or empty: with `label`."""

    def __init__(self, section: TrustKeys, question: str = "") -> None:
        self._section = section
        self._question = question
        self._column = f"label_{question}" if question else "label"
        self._quality = LabelQuality(self._column, section.temperature)
        self.calibration = Calibration(section.calibrate is not None, section.temperature)

    @property
    def columns(self) -> list[Column]:
        """Beside those that every set of choices has, and NEEDS_REVIEW, which a job has once."""
        return [(f"{self._column}_probs_raw", PROBS)] if self.calibration.changes else []

    @property
    def reviews(self) -> bool:
        return self._section.review_below is not None

    def with_prompts(self, prompts: PromptBuilder, given: Collection[str] = ()) -> Self:
        """With the prompts without content by which it is calibrated; ConfigError if there are none.

        `given` are names of the template that hold no content of a row, such as a question's own.
        """
        section = self._section.calibrate
        if section is None:
            return self
        found = content_free_prompts(prompts, section.prior, given)
        fitted = copy(self)
        fitted.calibration = replace(self.calibration, prompts=dict(zip(section.prior, found, strict=True)))
        return fitted

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        """Of a shard's rows."""
        if self._section.known_column is None:
            return 0, 0
        answers = known_answers(rows, self._section.known_column)
        return known_and_right(rows[self._column].to_pylist(), answers)

    def measured(self, rows: pa.Table) -> dict[str, int]:
        """Whole numbers of a shard's rows, which are added up over shards; none without known labels."""
        if self._section.known_column is None:
            return {}
        answers = known_answers(rows, self._section.known_column)
        return self._quality.measured(rows[f"{self._column}_probs"], answers)

    def report(self, totals: Mapping[str, int]) -> dict[str, Any] | None:
        """For report.json; None if no row has a known label."""
        return self._quality.report(totals)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        begin = f"{self._question}: " if self._question else ""
        found = self.report(totals)
        return [(begin + name, fact) for name, fact in facts(found)] if found else []

    def exhibits(self, totals: Mapping[str, int]) -> list[Exhibit]:
        """Pictures and tables for the report's page."""
        found = self.report(totals)
        return exhibits(found, self._question) if found else []


def reviewed(rows: pa.Table) -> dict[str, int]:
    """How many of a shard's rows are marked; nothing where no key asks for it."""
    name = NEEDS_REVIEW[0]
    return {name: rows[name].to_pylist().count(True)} if name in rows.column_names else {}


def review_fact(totals: Mapping[str, int]) -> list[tuple[str, str]]:
    count = totals.get(NEEDS_REVIEW[0])
    if count is None or not totals["rows"]:
        return []
    return [("needs review", f"{count:,} rows ({count / totals['rows']:.2%})")]


def needs_review(probs: Sequence[tuple[float, float | None]]) -> bool:
    """The probabilities of a row's labels, each with the `review_below` of its choices."""
    return any(below is not None and prob < below for prob, below in probs)
