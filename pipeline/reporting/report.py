"""The report at the end of a run: OUT/report.json for programs, OUT/report.html for people."""

import base64
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import jinja2
import orjson
import pandas as pd

from pipeline.config.job import JobConfig
from pipeline.errors import shown
from pipeline.reporting.computed import computed, path_in_words
from pipeline.reporting.figures import routing_heatmap
from pipeline.reporting.summary import ShardSummary
from pipeline.router.groups import MOST_GROUPS, OTHER_GROUP
from pipeline.task import Task


@dataclass(frozen=True)
class Report:
    job: str
    task: str
    state: str  # done | interrupted | extended: done, but another run has added rows that are still to come
    output: str
    rows: int  # published by this run and by earlier ones
    rows_planned: int
    # From here to `computed` fields are None if an interrupted run had no time to add up the parts.
    rows_by_status: dict[str, int] | None
    errors_by_code: dict[str, int] | None
    prompt_tokens: int | None
    generated_tokens: int | None
    label_accuracy: float | None  # of the rows with a known label
    groups_merged: bool | None  # whether the router tables count small groups as one, as there were too many
    # How the rows were computed: each `Engine.path`, as docs/output.md lists it, with its number of rows.
    computed: list[dict[str, Any]] | None
    duplicate_ids: int | None  # rows whose id another row before them has; None: not counted
    rows_this_run: int
    tokens_this_run: int
    seconds: float  # from joining Ray to the last commit, with the loading of the model
    warnings: list[str]  # what makes the answers doubtful as a whole
    # What the task itself reports. The JSON has the facts nowhere, and the values as keys of its own.
    task_facts: list[tuple[str, str]] = field(default_factory=list, compare=False)
    task_values: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def error_rate(self) -> float | None:
        if self.rows_by_status is None:
            return None
        return self.rows_by_status["error"] / self.rows if self.rows else 0.0

    @property
    def tokens_per_second(self) -> float:
        return self.tokens_this_run / self.seconds if self.seconds else 0.0

    def facts(self) -> list[tuple[str, str]]:
        """What people want to know first, each with its name."""
        facts = [
            ("state", self.state),
            ("rows", f"{self.rows:,} of {self.rows_planned:,}"),
            *(("warning", sentence) for sentence in self.warnings),
            *self.task_facts,
            *self._facts_of_parts(),
        ]
        if self.rows_this_run:
            speed = f"{self.seconds:,.0f} s with loading, {self.tokens_per_second:,.0f} tokens/s"
            facts.append(("this run", f"{self.rows_this_run:,} rows in {speed}"))
        else:
            facts.append(("this run", "nothing was missing"))
        facts.append(("results", shown(self.output)))
        return facts

    def _facts_of_parts(self) -> list[tuple[str, str]]:
        if self.rows_by_status is None or self.errors_by_code is None:
            return [("errors, tokens", "not added up, as there was no time; the next run adds them up")]
        facts = [
            ("ok", f"{self.rows_by_status['ok']:,}"),
            ("errors", f"{self.rows_by_status['error']:,} ({self.error_rate:.2%})"),
            *((f"errors {code}", f"{count:,}") for code, count in self.errors_by_code.items()),
        ]
        facts.append(("prompt tokens", f"{self.prompt_tokens:,}"))
        facts += [
            ("computed", f"{path['rows']:,} rows in {path_in_words(path)}") for path in self.computed or []
        ]
        if self.duplicate_ids:
            facts.append(("duplicate ids", f"{self.duplicate_ids:,} rows have the id of another row"))
        if self.groups_merged:
            facts.append(
                ("router groups", f"the {MOST_GROUPS} largest; the others together as {OTHER_GROUP}")
            )
        return facts

    def to_json(self) -> bytes:
        values = asdict(self) | {"error_rate": self.error_rate, "tokens_per_second": self.tokens_per_second}
        del values["task_facts"], values["task_values"]
        values |= self.task_values
        return orjson.dumps(values, option=orjson.OPT_INDENT_2)


def make_report(
    config: JobConfig,
    task: Task[Any],
    output: str,
    state: str,
    rows: int,
    rows_planned: int,
    committed: ShardSummary | None,
    this_run: Sequence[ShardSummary],
    seconds: float,
    groups_merged: bool = False,
    duplicate_ids: int | None = 0,
) -> Report:
    """`committed` sums up all parts in the output, this run's included; None if that was not done."""
    new = ShardSummary.total(this_run)
    totals = committed.totals() if committed else None
    return Report(
        job=config.job,
        task=config.task,
        state=state,
        output=output,
        rows=rows,
        rows_planned=rows_planned,
        rows_by_status=committed.rows_by_status if committed else None,
        errors_by_code=dict(sorted(committed.errors.items())) if committed else None,
        prompt_tokens=committed.prompt_tokens if committed else None,
        generated_tokens=committed.generated_tokens if committed else None,
        label_accuracy=committed.right / committed.known if committed and committed.known else None,
        groups_merged=groups_merged if committed else None,
        computed=computed(committed) if committed else None,
        duplicate_ids=duplicate_ids if committed else None,
        rows_this_run=new.rows,
        tokens_this_run=new.prompt_tokens + new.generated_tokens,
        seconds=seconds,
        warnings=task.warnings(totals) if totals else [],
        task_facts=task.facts(totals) if totals else [],
        task_values=task.report(totals) if totals else dict.fromkeys(task.report_keys),
    )


def to_html(report: Report, experts: pd.DataFrame | None) -> bytes:
    """One self-contained page; `experts` is the table of router/experts.parquet."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipeline.reporting", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
    )
    heatmap = _png(experts) if experts is not None and len(experts) else None
    page = environment.get_template("report.html.jinja").render(
        report=report, facts=report.facts(), heatmap=heatmap
    )
    return page.encode()


def _png(experts: pd.DataFrame) -> str:
    buffer = io.BytesIO()
    routing_heatmap(experts).savefig(buffer, format="png", dpi=110)
    return base64.b64encode(buffer.getvalue()).decode()
