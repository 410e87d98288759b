"""The rows of OUT/generations: one schema for results and errors alike, whatever the shard."""

from typing import Any

import numpy as np
import pyarrow as pa

from model.config import ModelConfig
from model.requests.row_routing import RowRouting
from pipeline.config.job import JobConfig
from pipeline.tasks.generate import Outcome

_COLUMNS: list[tuple[str, pa.DataType]] = [
    ("id", pa.string()),
    ("file", pa.string()),
    ("row", pa.int64()),
    ("status", pa.string()),
    ("error_code", pa.string()),
    ("error_message", pa.string()),
    ("text", pa.string()),
    ("finish_reason", pa.string()),
    ("label", pa.string()),
    ("label_prob", pa.float64()),
    ("label_probs", pa.map_(pa.string(), pa.float64())),
    ("prompt_tokens", pa.int32()),
    ("generated_tokens", pa.int32()),
]
_INCLUDED: dict[str, list[tuple[str, pa.DataType]]] = {
    "prompt": [("prompt", pa.string())],
    "prompt_token_ids": [("prompt_token_ids", pa.list_(pa.int32()))],
    "token_ids": [("token_ids", pa.list_(pa.int32()))],
}
_LOGPROBS = ("token_logprobs", pa.list_(pa.float64()))
_ROUTING = [f"router_{phase}_{choice}" for phase in ("prefill", "decode") for choice in ("first", "second")]
_RESERVED = frozenset(
    [name for columns in (_COLUMNS, *_INCLUDED.values(), [_LOGPROBS]) for name, _ in columns] + _ROUTING
)


def reserved_names(config: JobConfig) -> frozenset[str]:
    """Names that kept columns cannot have, since the job's own columns have them."""
    return _RESERVED - {"text"} if config.task == "label" else _RESERVED


class Results:
    """Lays out finished rows; the schema depends on the job and the checkpoint alone."""

    def __init__(self, config: JobConfig, model: ModelConfig) -> None:
        self._config = config
        self._model = model
        # A label job has no text of its own, so that column may be a kept one.
        self._columns = [column for column in _COLUMNS if column[0] not in config.input.keep]
        for name in config.output.include:
            self._columns += _INCLUDED[name]
        if config.task == "generate":  # also where the job asks for none: a row may
            self._columns.append(_LOGPROBS)
        self._routed = bool(model.num_experts and config.router.statistics and config.router.per_row)

    def table(self, prepared: pa.Table, outcomes: list[Outcome]) -> pa.Table:
        """Prepared rows and how they ended, in the same order -> rows of generations."""
        rows = [self._row(row, outcome) for row, outcome in zip(_rows(prepared), outcomes, strict=True)]
        table = pa.Table.from_pylist(rows, schema=pa.schema(self._columns))
        for name in self._config.input.keep:
            table = table.append_column(name, prepared[f"keep.{name}"])
        if self._routed:
            for column, phase, rank in zip(_ROUTING, (0, 0, 1, 1), (0, 1, 0, 1), strict=True):
                counts = [_chosen(outcome.routing, phase, rank) for outcome in outcomes]
                table = table.append_column(column, self._counts_column(counts))
        return table

    def _row(self, row: dict[str, Any], outcome: Outcome) -> dict[str, Any]:
        failed = outcome.error_code is not None
        return {
            **row,
            "status": "error" if failed else "ok",
            "error_code": outcome.error_code,
            "error_message": outcome.error_message,
            "text": outcome.text,
            "finish_reason": outcome.finish_reason,
            "label": outcome.label,
            "label_prob": outcome.label_prob,
            "label_probs": list(outcome.label_probs.items()) if outcome.label_probs else None,
            "prompt_tokens": None if row["prompt_token_ids"] is None else len(row["prompt_token_ids"]),
            "generated_tokens": None if outcome.token_ids is None else len(outcome.token_ids),
            "token_ids": outcome.token_ids,
            "token_logprobs": outcome.token_logprobs,
        }

    def _counts_column(self, counts: list[np.ndarray[Any, Any] | None]) -> pa.Array:
        size = self._model.num_layers * self._model.num_experts
        number = pa.uint16() if self._model.max_positions < 1 << 16 else pa.uint32()
        values = [None if count is None else count.ravel() for count in counts]
        return pa.array(values, pa.list_(number, size))


def _rows(prepared: pa.Table) -> list[dict[str, Any]]:
    names = ["id", "file", "row", "prompt", "prompt_token_ids"]
    rows: list[dict[str, Any]] = prepared.select(names).to_pylist()
    return rows


def _chosen(routing: RowRouting | None, phase: int, rank: int) -> np.ndarray[Any, Any] | None:
    """[L, E]: how often each expert was the choice of that rank; zeros where the model has no such rank."""
    if routing is None:
        return None
    chosen = routing.chosen[phase]  # [L, K, E]
    return np.asarray(chosen[:, rank] if rank < chosen.shape[1] else np.zeros_like(chosen[:, 0]))
