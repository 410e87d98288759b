"""The types of the kept columns, decided once from all files of a job, so that all its parts have the same.

A column of Parquet keeps its type; string and large_string are one, and a dictionary column gets the type of
its values. A column of JSONL gets the type of its first values, see `json_types`, unless `input.keep_types`
names one. A column that both have gets a type that both fit.

Files that extend a job find its types as they are. With `keep: "*"` the first files also decide which columns
there are. What does not fit, or comes later, stands in KEPT_UNFIT.
"""

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.config.input import InputSection
from pipeline.errors import ConfigError, shortened, shown
from pipeline.reading.json_types import (
    NULL,
    Kind,
    common_kind,
    kind_of,
    kind_of_type,
    named_type,
    type_of_kind,
)
from pipeline.reading.plain_types import plain_type

KEPT_UNFIT = "kept_unfit"  # JSON: the values that do not fit their column, by its name
SAMPLED_RECORDS = 1_000  # of each JSONL file
_MOST_LEVELS = 60  # of nesting; Arrow's streaming format allows 64
_COLUMN = b"column"  # of a field's metadata: the column's name in the input


@dataclass(frozen=True)
class KeptBefore:
    """What is decided already in a job that is extended."""

    types: str  # as `KeptTypes.settle` returns them
    jsonl: bool  # whether the job reads JSONL


class KeptTypes:
    """Collects the types of a job's kept columns from one file after the other."""

    def __init__(self, section: InputSection, before: KeptBefore | None = None) -> None:
        self._section = section
        self._before = before
        self._parquet: dict[str, tuple[str, pa.DataType]] = {}  # by column of the input: first file, type
        self._json: dict[str, Kind] = {}
        if before:
            fields = [*kept_schema(before.types)]
            self._parquet = {kept_from(field): ("the files before", field.type) for field in fields}

    def add_jsonl(self, records: Iterable[Mapping[str, Any]]) -> None:
        """The first records of a file, SAMPLED_RECORDS at most."""
        if self._before:
            return
        columns: dict[str, dict[Kind, None]] = {}
        wanted = self._wanted()
        for record in records:
            for name in record if self._section.keeps_all else wanted & record.keys():
                columns.setdefault(name, {})[kind_of(record[name])] = None
        for name, kinds in columns.items():
            self._json[name] = common_kind([self._json.get(name, NULL), *kinds])

    def add_parquet(self, file: str, schema: pa.Schema) -> None:
        """ConfigError if a column has another type than in an earlier file; nulls fit any type."""
        if self._before and self._before.jsonl:
            return
        wanted = self._wanted()
        for column in schema:
            if not self._section.keeps_all and column.name not in wanted:
                continue
            type_ = plain_type(column.type)
            first, known = self._parquet.get(column.name, (file, pa.null()))
            if pa.types.is_null(known) and not self._before:
                self._parquet[column.name] = file, type_
            elif column.name in self._parquet and type_ not in (known, pa.null()):
                both = f"{_named(known)} in {shown(first)} but {_named(type_)} in {shown(file)}"
                self._require_given(column.name, both)

    def _wanted(self) -> set[str]:
        return set(self._section.kept_by_name.values())

    def _require_given(self, column: str, what: str) -> None:
        """ConfigError unless `input.keep_types` decides the type of this column of the input."""
        names = [new for new, old in self._all_columns().items() if old == column]
        if not self._section.keep_types.keys() >= set(names):
            raise ConfigError(
                f"input.keep: column {column!r} is {what}; a kept column must have one type in all files: "
                "give it in input.keep_types"
            )

    def _all_columns(self) -> dict[str, str]:
        """The kept columns: their names in the output, and in the input."""
        named = self._section.kept_by_name
        if not self._section.keeps_all:
            return named
        elsewhere = {*named.values(), *id_column(self._section)}
        found = [name for name in {**self._parquet, **self._json} if name not in elsewhere]
        if hidden := [name for name in found if name in named]:
            raise ConfigError(f"input.keep: {hidden[0]} is another column of the files too; keep it as well")
        given = [name for name in self._section.keep_types if name not in elsewhere]
        return {name: name for name in [*found, *given] if name not in named} | named

    def settle(self) -> str:
        """The types, in the form that `kept_columns` takes: a serialized schema, base64."""
        if self._before:
            return self._before.types
        fields = [
            pa.field(new, self._type(new, old), metadata={_COLUMN: old.encode()})
            for new, old in self._all_columns().items()
        ]
        return base64.b64encode(pa.schema(fields).serialize()).decode()

    def _type(self, new: str, old: str) -> pa.DataType:
        if given := self._section.keep_types.get(new):
            return named_type(given)
        found = self._json.get(old, NULL)
        if old not in self._parquet:
            return type_of_kind(found)
        file, type_ = self._parquet[old]
        if found != NULL:
            return type_of_kind(common_kind([kind_of_type(type_), found]))
        if _levels(type_) > _MOST_LEVELS:
            raise ConfigError(
                f"input.keep: column {old!r} in {shown(file)} is nested {_levels(type_)} levels deep; "
                f"at most {_MOST_LEVELS} can be kept"
            )
        return type_


def id_column(section: InputSection) -> set[str]:
    """The column that the output has as `id` anyway, which `keep: "*"` does not keep a second time."""
    return {"id"} if section.id_column == "id" else set()


def kept_schema(types: str) -> pa.Schema:
    """The kept columns as `KeptTypes.settle` returned them, by their names in the output."""
    return pa.ipc.read_schema(pa.BufferReader(base64.b64decode(types))) if types else pa.schema([])


def kept_from(field: pa.Field) -> str:
    """The name in the input of a column of `kept_schema`."""
    name: str = field.metadata[_COLUMN].decode()
    return name


def _levels(type_: pa.DataType) -> int:
    """How deeply a type is nested: 1 for a plain one."""
    levels, within = 1, [type_]
    while within := [inner.field(i).type for inner in within for i in range(inner.num_fields)]:
        levels += 1
    return levels


def _named(type_: pa.DataType) -> str:
    """A type's name for messages, shortened: a struct's holds those of all its fields."""
    return shortened(str(type_), 200)
