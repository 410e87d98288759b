"""Task label: each row is given one of the job's choices, with the probability of every choice.

Or one of each question's: `label.questions`.
"""

from collections.abc import Container, Mapping, Sequence
from copy import copy
from typing import Any, Self

import pyarrow as pa

from model.config import ModelConfig
from pipeline.config.input import InputSection
from pipeline.reporting.exhibit import Exhibit
from pipeline.row_requests import RowRequests
from pipeline.task import Column, Task
from pipeline.tasks.label_question import columns_of
from pipeline.tasks.label_question_rows import QuestionRows
from pipeline.tasks.label_rows import LabelRows
from pipeline.tasks.label_section import LabelSection
from pipeline.tasks.label_trust import NEEDS_REVIEW, review_fact, reviewed
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.prompts import PromptBuilder
from pipeline.text.question_prompts import GIVEN, QuestionPrompts


class Label(Task[LabelSection]):
    section_name = "label"
    section_model = LabelSection
    columns: Sequence[Column] = columns_of("label", "choice")
    report_keys: Sequence[str] = ("label_mass", "label_quality", "needs_review")
    _apart = False  # whether each question is computed as a prompt of its own

    def __init__(self, section: LabelSection) -> None:
        super().__init__(section)
        self.questions = section.asked
        columns = [column for question in self.questions for column in question.columns]
        reviews = any(question.trust.review_below is not None for question in self.questions)
        self.columns = [*columns, NEEDS_REVIEW] if reviews else columns
        self.several_prompts = section.questions is not None
        if section.questions is not None:
            self.given_names = GIVEN
            self.report_keys = ("questions", "needs_review")

    @classmethod
    def required_keys(cls) -> list[str]:
        return ["choices or questions"]

    @classmethod
    def check(cls, section: LabelSection, kept_columns: Container[str]) -> None:
        sections = {"label": section} if section.questions is None else section.questions
        for name, one in sections.items():
            column, key = one.known_column, name if section.questions is None else f"label.questions.{name}"
            if column is not None and column not in kept_columns:
                raise ValueError(f"{key}.known_column {column!r} must be one of input.keep")

    def for_model(self, model: ModelConfig) -> Self:
        fitted = copy(self)
        fitted._apart = model.rope.depends_on_length
        return fitted

    def prompts(self, section: InputSection, prompt_format: PromptFormat, vocab_size: int) -> QuestionPrompts:
        questions = {
            name: (question.instructions, question.options)
            for name, question in (self.section.questions or {}).items()
        }
        return QuestionPrompts(section, prompt_format, vocab_size, questions)

    def with_prompts(self, prompts: PromptBuilder) -> Self:
        fitted = copy(self)
        fitted.questions = [one.with_prompts(prompts, self.given_names) for one in self.questions]
        return fitted

    def requests(self, prompt_format: PromptFormat) -> RowRequests:
        if self.section.questions is not None:
            return QuestionRows(prompt_format, self.questions, self._apart)
        [question] = self.questions
        return LabelRows(prompt_format, question)

    def known_and_right(self, rows: pa.Table) -> tuple[int, int]:
        """None where there are questions, each of which has its own."""
        return (0, 0) if self.section.questions is not None else self.questions[0].known_and_right(rows)

    def measure(self, rows: pa.Table) -> dict[str, int]:
        numbers = {name: n for question in self.questions for name, n in question.measure(rows).items()}
        return numbers | reviewed(rows)

    def facts(self, totals: Mapping[str, int]) -> list[tuple[str, str]]:
        facts = [fact for question in self.questions for fact in question.facts(totals)]
        return facts + review_fact(totals)

    def report(self, totals: Mapping[str, int]) -> dict[str, Any]:
        reports = {question.name: question.report(totals) for question in self.questions}
        needs_review = {"needs_review": totals.get("needs_review")}
        if self.section.questions is not None:
            return {"questions": reports} | needs_review
        own = {key: reports[None][key] for key in ("label_mass", "label_quality")}
        return own | needs_review

    def exhibits(self, totals: Mapping[str, int]) -> list[Exhibit]:
        return [one for question in self.questions for one in question.exhibits(totals)]

    def warnings(self, totals: Mapping[str, int]) -> list[str]:
        return [doubt for question in self.questions for doubt in question.warnings(totals)]
