"""The rows of OUT/generations: one schema for results and errors alike, in every shard."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from model.config import ModelConfig
from model.requests.row_routing import RowRouting
from pipeline.config.job import JobConfig
from pipeline.config.output import INCLUDED
from pipeline.reading.kept_types import KEPT_UNFIT
from pipeline.row_requests import Outcome
from pipeline.rows.prepare import KEPT
from pipeline.task import Column, Task

_FIRST: list[Column] = [
    ("id", pa.string()),
    ("file", pa.string()),
    ("row", pa.int64()),
    ("status", pa.string()),
    ("error_code", pa.string()),
    ("error_message", pa.string()),
]
_PROMPT_TOKENS: Column = ("prompt_tokens", pa.int32())
_GENERATED_TOKENS: Column = ("generated_tokens", pa.int32())
_INCLUDED: dict[str, Column] = {
    name: (name, pa.string() if name == "prompt" else pa.list_(pa.int32())) for name in INCLUDED
}
_CHOICES = ("first", "second")
_PHASES = ("prefill", "decode")  # in the order of `RowRouting.chosen`


def output_columns(config: JobConfig, task: Task[Any]) -> list[Column]:
    """The columns of the job's output in their order, without those of `input.keep` and of the router."""
    counts = [_PROMPT_TOKENS, _GENERATED_TOKENS] if task.generates else [_PROMPT_TOKENS]
    included = _INCLUDED | {column[0]: column for column in task.included}
    asked_for = [included[name] for name in config.output.include]
    return [*_FIRST, *task.columns, *counts, *asked_for, *task.last_columns]


def reserved_names(config: JobConfig, task: Task[Any]) -> frozenset[str]:
    """Names that kept columns cannot have, since other columns of this job's output have them."""
    names = [name for name, _ in output_columns(config, task)]
    return frozenset([*names, KEPT_UNFIT, *_router_columns(config, task)])


def doubled_names(task: Task[Any]) -> list[str]:
    """Columns of a task that have the name of another column of the output: the task cannot be run."""
    of_output = [name for name, _ in (*_FIRST, _PROMPT_TOKENS, _GENERATED_TOKENS, *_INCLUDED.values())]
    taken = {
        *of_output,
        KEPT_UNFIT,
        *(f"router_{phase}_{choice}" for phase in _PHASES for choice in _CHOICES),
    }
    names = Counter(name for name, _ in (*task.columns, *task.last_columns, *task.included))
    return sorted(name for name, count in names.items() if count > 1 or name in taken)


def _router_columns(config: JobConfig, task: Task[Any]) -> dict[str, tuple[int, int]]:
    """Each with its phase and choice, counted from 0."""
    if not (config.router.statistics and config.router.per_row):
        return {}
    phases = _PHASES if task.generates else _PHASES[:1]
    return {
        f"router_{phase}_{choice}": (_PHASES.index(phase), _CHOICES.index(choice))
        for phase in phases
        for choice in _CHOICES
    }


class ResultRows:
    """Lays out finished rows; the schema depends on the job, its plan and the checkpoint alone."""

    def __init__(self, config: JobConfig, task: Task[Any], model: ModelConfig) -> None:
        self._model = model
        self._columns = output_columns(config, task)
        self._values = {name for name, _ in (*self._columns, *task.included)}
        self._routing = _router_columns(config, task) if model.num_experts else {}

    def table(self, prepared: pa.Table, outcomes: list[Outcome]) -> pa.Table:
        """Join prepared rows with their outcomes, in the same order, into rows of generations."""
        unknown = {name for outcome in outcomes for name in outcome.values} - self._values
        assert not unknown, f"the task gives values for columns that it does not list: {sorted(unknown)}"
        rows = [_row(row, outcome) for row, outcome in zip(_rows(prepared), outcomes, strict=True)]
        table = pa.Table.from_pylist(rows, schema=pa.schema(self._columns))
        columns = dict(zip(table.column_names, table.columns, strict=True))
        for name in prepared.column_names:
            if name.startswith(KEPT):
                columns[name.removeprefix(KEPT)] = prepared[name]
        for name, (phase, choice) in self._routing.items():
            counts = [_chosen(outcome.routing, phase, choice) for outcome in outcomes]
            columns[name] = self._counts_column(counts)
        return pa.table(columns)

    def _counts_column(self, counts: list[np.ndarray[Any, Any] | None]) -> pa.Array:
        size = self._model.num_layers * self._model.num_experts
        number = pa.uint16() if self._model.max_positions < 1 << 16 else pa.uint32()
        values = [None if count is None else count.ravel() for count in counts]
        return pa.array(values, pa.list_(number, size))


def _row(row: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
    token_ids = row["prompt_token_ids"]
    return {
        **outcome.values,
        **row,
        "status": "ok" if outcome.error_code is None else "error",
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
        "prompt_tokens": None if token_ids is None else len(token_ids),
    }


def _rows(prepared: pa.Table) -> list[dict[str, Any]]:
    names = ["id", "file", "row", "prompt", "prompt_token_ids"]
    rows: list[dict[str, Any]] = prepared.select(names).to_pylist()
    return rows


def _chosen(routing: RowRouting | None, phase: int, choice: int) -> np.ndarray[Any, Any] | None:
    """[L, E]: how often each expert was a token's first (0) or second (1) choice.

    Zeros where the model makes one choice a token.
    """
    if routing is None:
        return None
    chosen = routing.chosen[phase]  # [L, K, E]
    return np.asarray(chosen[:, choice] if choice < chosen.shape[1] else np.zeros_like(chosen[:, 0]))
