"""The rows of OUT/generations: one schema for results and errors alike, in every shard."""

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa

from model.config import ModelConfig
from model.requests.row_routing import RowRouting
from pipeline.config.job import JobConfig
from pipeline.config.output import INCLUDED
from pipeline.registered_tasks import tasks_in_every_job
from pipeline.task import Column, Outcome, Task

_FIRST: list[Column] = [
    ("id", pa.string()),
    ("file", pa.string()),
    ("row", pa.int64()),
    ("status", pa.string()),
    ("error_code", pa.string()),
    ("error_message", pa.string()),
]
_COUNTS: list[Column] = [("prompt_tokens", pa.int32()), ("generated_tokens", pa.int32())]
_INCLUDED: dict[str, Column] = {
    name: (name, pa.string() if name == "prompt" else pa.list_(pa.int32())) for name in INCLUDED
}
_ROUTING = [f"router_{phase}_{choice}" for phase in ("prefill", "decode") for choice in ("first", "second")]


def reserved_names(task: Task[Any]) -> frozenset[str]:
    """Names that kept columns cannot have, since columns of the output have them."""
    of_others = _names_of_others(task) - set(task.free_names)
    return frozenset({*_of_every_job(), *of_others, *_names(task)})


def doubled_names(task: Task[Any]) -> list[str]:
    """Columns of a task that have the name of another column of the output: the task cannot be run."""
    taken = {*_of_every_job(), *_names_of_others(task)}
    return sorted(name for name, count in Counter(_names(task)).items() if count > 1 or name in taken)


def _of_every_job() -> list[str]:
    return [*(name for name, _ in (*_FIRST, *_COUNTS, *_INCLUDED.values())), *_ROUTING]


def _names_of_others(task: Task[Any]) -> set[str]:
    others = [other for other in tasks_in_every_job() if not isinstance(task, other)]
    return {name for other in others for name, _ in (*other.columns, *other.last_columns)}


def _names(task: Task[Any]) -> list[str]:
    return [name for name, _ in (*task.columns, *task.last_columns, *task.included)]


def _answer_columns(task: Task[Any]) -> list[Column]:
    """The columns of the tasks in every job, null where the job's task is another; then the task's own."""
    others: list[Column] = [column for other in tasks_in_every_job() for column in other.columns]
    return list(dict([*others, *task.columns]).items())


class ResultRows:
    """Lays out finished rows; the schema depends on the job and the checkpoint alone."""

    def __init__(self, config: JobConfig, task: Task[Any], model: ModelConfig) -> None:
        self._config = config
        self._model = model
        self._columns = [
            column
            for column in [*_FIRST, *_answer_columns(task), *_COUNTS]
            if column[0] not in config.input.keep
        ]
        included = _INCLUDED | {column[0]: column for column in task.included}
        self._columns += [included[name] for name in config.output.include]
        self._columns += task.last_columns
        self._values = {*(name for name, _ in self._columns), *included}
        self._routed = bool(model.num_experts and config.router.statistics and config.router.per_row)

    def table(self, prepared: pa.Table, outcomes: list[Outcome]) -> pa.Table:
        """Join prepared rows with their outcomes, in the same order, into rows of generations."""
        unknown = {name for outcome in outcomes for name in outcome.values} - self._values
        assert not unknown, f"the task gives values for columns that it does not list: {sorted(unknown)}"
        rows = [_row(row, outcome) for row, outcome in zip(_rows(prepared), outcomes, strict=True)]
        table = pa.Table.from_pylist(rows, schema=pa.schema(self._columns))
        for name in self._config.input.keep:
            table = table.append_column(name, prepared[f"keep.{name}"])
        if self._routed:
            for column, phase, choice in zip(_ROUTING, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
                counts = [_chosen(outcome.routing, phase, choice) for outcome in outcomes]
                table = table.append_column(column, self._counts_column(counts))
        return table

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
