"""The kept columns of a shard's rows, in the types that `kept_types` decided, and values that do not fit."""

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

import pyarrow as pa

from pipeline.errors import RowError
from pipeline.reading.fit_values import UNFIT, as_json, fitting
from pipeline.reading.kept_types import KEPT_UNFIT, kept_from, kept_schema
from pipeline.reading.plain_types import as_plain
from pipeline.reading.python_values import reader

Unfit = list[dict[str, Any]]  # of each row, by column


def kept_columns(
    table: pa.Table,
    types: str,
    records: Sequence[dict[str, Any] | RowError],
    elsewhere: Collection[str] | None = None,
) -> pa.Table:
    """The kept columns of `read_shard`'s table, then KEPT_UNFIT; an unusable row has nulls.

    `records` are the table's rows. Where `elsewhere` is given, KEPT_UNFIT also has the values of all columns
    that are neither in `types` nor there.
    """
    schema = kept_schema(types)
    unfit: Unfit = [{} for _ in range(len(table))]
    known = None if elsewhere is None else {*map(kept_from, schema), *elsewhere}
    if "record" in table.column_names:
        arrays = _of_parquet(table["record"].combine_chunks(), schema, known, unfit)
    else:
        lines = [record if isinstance(record, dict) else {} for record in records]
        arrays = _of_lines(lines, schema, known, unfit)
    texts = [as_json(values) if values else None for values in unfit]
    kept = pa.table(arrays, schema=pa.schema([(field.name, field.type) for field in schema]))
    return kept.append_column(KEPT_UNFIT, pa.array(texts, pa.string()))


def _of_parquet(
    records: pa.StructArray, schema: pa.Schema, known: set[str] | None, unfit: Unfit
) -> list[pa.Array]:
    # a record that is null has nulls in all columns of `flatten`
    columns = dict(zip((field.name for field in records.type), records.flatten(), strict=True))
    arrays = [_of_column(field, columns.get(kept_from(field)), unfit) for field in schema]
    for name in () if known is None else columns.keys() - known:
        for value, of_row in zip(_values(columns[name]), unfit, strict=True):
            _note(name, value, of_row)
    return arrays


def _of_column(field: pa.Field, column: pa.Array | None, unfit: Unfit) -> pa.Array:
    """`column` is None where the file does not have it, or no row of the shard could be decoded."""
    if column is None or pa.types.is_null(column.type):
        return pa.nulls(len(unfit), field.type)
    column = as_plain(column)
    return column if column.type == field.type else _fitted(field, _values(column), unfit)


def _values(column: pa.Array) -> Iterator[Any]:
    read = reader(column.type)
    for scalar in column:
        try:
            yield read(scalar)
        except (ValueError, OverflowError):  # a time that Python cannot hold
            yield str(scalar.value)


def _of_lines(
    lines: Sequence[dict[str, Any]], schema: pa.Schema, known: set[str] | None, unfit: Unfit
) -> list[pa.Array]:
    arrays = []
    for field in schema:
        column = kept_from(field)
        arrays.append(_fitted(field, (line.get(column) for line in lines), unfit))
    if known is not None:
        for line, of_row in zip(lines, unfit, strict=True):
            for name in line.keys() - known:
                _note(name, line[name], of_row)
    return arrays


def _fitted(field: pa.Field, values: Iterable[Any], unfit: Unfit) -> pa.Array:
    """The column of those values that fit its type; the others go into `unfit`."""
    fit = fitting(field.type)
    fitted = []
    for value, of_row in zip(values, unfit, strict=True):
        fits = fit(value)
        if fits is UNFIT:
            _note(field.name, value, of_row)
            fits = None
        fitted.append(fits)
    return pa.array(fitted, field.type)


def _note(column: str, value: Any, of_row: dict[str, Any]) -> None:
    if value is not None:
        # JSON has no infinity, and no NaN
        of_row[column] = str(value) if isinstance(value, float) and not math.isfinite(value) else value
