"""Raw rows in, prompts out: every row of a shard is parsed, checked and tokenized, or given its error."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.config.job import JobConfig
from pipeline.errors import RowError, RowErrorCode, hide_row_text
from pipeline.reading.columns import columns_to_read
from pipeline.reading.fit_values import as_text
from pipeline.reading.kept_columns import kept_columns
from pipeline.reading.kept_types import id_column
from pipeline.router.groups import group_name
from pipeline.shards.carried_shard import CarriedShard, named_shard
from pipeline.shards.read_shard import read_shard, records
from pipeline.shards.shard import Shard
from pipeline.task import Task
from pipeline.text.prompts import PromptBuilder

NO_GROUP = "all"
MISSING_GROUP = "(none)"
KEPT = "keep."  # how the names of kept columns begin until they are in the output

PREPARED = pa.schema(
    [
        ("row", pa.int64()),
        ("id", pa.string()),
        ("file", pa.string()),
        ("group", pa.string()),
        ("error_code", pa.string()),
        ("error_message", pa.string()),
        ("prompt", pa.string()),
        ("prompt_token_ids", pa.list_(pa.int32())),
        ("params", pa.string()),  # what the task's `row_params` returned
        ("notice", pa.string()),  # what may be wrong with the prompt: see `Prompt.notice`
    ]
)


_MADE_HERE = [name for name in PREPARED.names if name not in ("file", "row")]


@dataclass(frozen=True)
class Preparation:
    """Called with a block that names a shard; returns the shard with its prepared rows, packed.

    `longest_prompt` is in tokens; `context` is how many tokens a prompt and its answer may have together.
    """

    config: JobConfig
    task: Task[Any]
    prompts: PromptBuilder
    longest_prompt: int
    context: int

    def __call__(self, named: pa.Table) -> pa.Table:
        shard = named_shard(named)
        with hide_row_text(shard.id):
            return CarriedShard(shard, self.prepared(shard)).packed()

    def prepared(self, shard: Shard) -> pa.Table:
        """Read a shard and return its rows: PREPARED and the kept columns. No exception quotes a row."""
        with hide_row_text(shard.id):
            columns = columns_to_read(self.config.input, self.task)
            return self._prepare_rows(shard, read_shard(shard, columns))

    def _prepare_rows(self, shard: Shard, table: pa.Table) -> pa.Table:
        file = shard.name
        parsed = list(records(table, self._columns(), file))
        prepared = [
            {"file": file, "row": row, **self._prepare(f"{file}#{row}", record)}
            for row, record in zip(table["row"].to_pylist(), parsed, strict=True)
        ]
        result = pa.Table.from_pylist(prepared, schema=PREPARED)
        section = self.config.input
        if not section.keep:
            return result
        renamed = {*section.kept_by_name.values(), *id_column(section)}
        kept = kept_columns(table, shard.kept, parsed, renamed if section.keeps_all else None)
        names = [*result.column_names, *(KEPT + name for name in kept.column_names)]
        return pa.table([*result.columns, *kept.columns], names=names)

    def _columns(self) -> set[str] | None:
        """Columns that the prompt, the id, the group or the task needs, which are converted; None: all."""
        if self.prompts.columns is None:
            return None
        section = self.config.input
        named = {name for name in (section.id_column, section.group_by) if name is not None}
        return {*self.prompts.columns, *named, *self.task.input_columns}

    def _prepare(self, default_id: str, record: dict[str, Any] | RowError) -> dict[str, Any]:
        known: dict[str, Any] = dict.fromkeys(_MADE_HERE)
        known["id"] = default_id
        known["group"] = NO_GROUP if self.config.input.group_by is None else MISSING_GROUP
        try:
            if isinstance(record, RowError):
                raise record
            known["group"] = self._group(record)
            known["id"] = self._id(default_id, record)
            prompt = self.prompts.build(record)
            if "prompt" in self.config.output.include:
                known["prompt"] = prompt.text
            known["notice"] = prompt.notice
            self._check_length(prompt.longest or len(prompt.token_ids))
            known["params"] = prompt.params or self.task.prompt_params(
                record, prompt.token_ids, prompt.text, self.context
            )
            known["prompt_token_ids"] = prompt.token_ids
        except RowError as error:
            known["error_code"], known["error_message"] = error.code.value, error.message
        return known

    def _id(self, default_id: str, record: dict[str, Any]) -> str:
        column = self.config.input.id_column
        if column is None:
            return default_id
        if column not in record:
            raise RowError(RowErrorCode.MISSING_COLUMN, f"this row has no column {column}")
        value = record[column]
        if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            return str(value)
        raise RowError(RowErrorCode.WRONG_TYPE, f"the id in column {column!r} must be a string or an integer")

    def _group(self, record: dict[str, Any]) -> str:
        column = self.config.input.group_by
        if column is None:
            return NO_GROUP
        value = record.get(column)
        return MISSING_GROUP if value is None else group_name(as_text(value))

    def _check_length(self, tokens: int) -> None:
        if tokens > self.longest_prompt:
            raise RowError(
                RowErrorCode.PROMPT_TOO_LONG,
                f"the prompt has {tokens} tokens, the context has room for {self.longest_prompt}",
            )
