"""Kept columns: their types are decided once, from all files of a job, so that all parts have the same.

A column of Parquet keeps its type; a dictionary column gets the type of its values. JSON values of a column
may differ in type, so a job that reads any JSONL keeps text: strings as they are, everything else as JSON.
Files that extend a job must fit the types of its parts.
"""

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import ConfigError, RowError, shortened

_MOST_LEVELS = 60  # Arrow's streaming format allows 64


@dataclass(frozen=True)
class KeptBefore:
    """What is decided already in a job that is extended."""

    types: str  # as `KeptTypes.settle` returns them
    text: bool  # whether all are text, since the job reads JSONL


class KeptTypes:
    """Collects the types of the columns `names` from one file after the other."""

    def __init__(self, names: Sequence[str], before: KeptBefore | None = None) -> None:
        self._before = before
        self._found: dict[str, tuple[str, pa.DataType]] = dict.fromkeys(names, ("", pa.null()))
        if before:
            self._found = {field.name: ("the files before", field.type) for field in _schema(before.types)}
        self._text = before is not None and before.text

    def add_jsonl(self, file: str) -> None:
        """ConfigError if the job is extended and a column is no text in its parts."""
        for name, (_, known) in self._found.items():
            if self._before and known != pa.string():
                raise ConfigError(
                    f"input.keep: column {name!r} is {_named(known)} in the files before but text in "
                    f"{file}, as is all that JSONL keeps; give the new files a job of their own"
                )
        self._text = True

    def add_parquet(self, file: str, schema: pa.Schema) -> None:
        """ConfigError if a column has another type than in an earlier file; nulls fit any type."""
        if self._before and self._before.text:
            return
        for name, (first, known) in self._found.items():
            type_ = decoded_type(schema.field(name).type)
            if pa.types.is_null(known) and not self._before:
                self._found[name] = file, type_
            elif type_ not in (known, pa.null()):
                raise ConfigError(
                    f"input.keep: column {name!r} is {_named(known)} in {first} but {_named(type_)} in "
                    f"{file}; a kept column must have one type in all files"
                )

    def settle(self) -> str:
        """The types, in the form that `kept_columns` takes: a serialized schema, base64."""
        if self._before:
            return self._before.types
        if self._text:
            types: dict[str, pa.DataType] = dict.fromkeys(self._found, pa.string())
        else:
            types = {name: type_ for name, (_, type_) in self._found.items()}
            self._check_levels()
        return base64.b64encode(pa.schema(types.items()).serialize()).decode()

    def _check_levels(self) -> None:
        for name, (file, type_) in self._found.items():
            if _levels(type_) > _MOST_LEVELS:
                raise ConfigError(
                    f"input.keep: column {name!r} in {file} is nested {_levels(type_)} levels deep; "
                    f"at most {_MOST_LEVELS} can be kept"
                )


def _levels(type_: pa.DataType) -> int:
    """How deeply a type is nested: 1 for a plain one."""
    levels, within = 1, [type_]
    while within := [inner.field(i).type for inner in within for i in range(inner.num_fields)]:
        levels += 1
    return levels


def _named(type_: pa.DataType) -> str:
    """A type's name for messages, shortened: a struct's holds those of all its fields."""
    return shortened(str(type_), 200)


def decoded_type(type_: pa.DataType) -> pa.DataType:
    return type_.value_type if pa.types.is_dictionary(type_) else type_


def kept_columns(table: pa.Table, types: str, records: Sequence[dict[str, Any] | RowError]) -> pa.Table:
    """The kept columns of `read_shard`'s table; `records` are its rows. An unusable row has nulls."""
    schema = _schema(types)
    columns = [_column(table, field, records) for field in schema]
    return pa.table(columns, schema=schema)


def _schema(types: str) -> pa.Schema:
    return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(types)))


def _column(table: pa.Table, field: pa.Field, records: Sequence[dict[str, Any] | RowError]) -> pa.Array:
    if "record" not in table.column_names:
        known = (record.get(field.name) if isinstance(record, dict) else None for record in records)
        return _texts(known)
    column = table["record"].combine_chunks()
    if field.name not in {child.name for child in column.type}:  # no row of the shard could be decoded
        return pa.nulls(len(table), field.type)
    column = pc.struct_field(column, field.name)
    if column.type == field.type:
        return column
    if pa.types.is_null(column.type):
        return pa.nulls(len(column), field.type)
    return _texts(_values(column))


def _values(column: pa.Array) -> Iterable[Any]:
    for scalar in column:
        try:
            yield scalar.as_py()
        except (ValueError, OverflowError):  # a time that Python cannot hold
            yield None


def _texts(values: Iterable[Any]) -> pa.Array:
    return pa.array([None if value is None else as_text(value) for value in values], pa.string())


def as_text(value: Any) -> str:
    """A string as it is; numbers, lists and objects as JSON; anything else (a date) as Python writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    if not isinstance(value, bool | int | float | list | tuple | dict):
        return str(value)
    try:
        return orjson.dumps(value, default=as_text, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
    except TypeError:  # an integer beyond 64 bits
        return str(value)
