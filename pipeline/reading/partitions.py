"""Columns that the folders of a file give it, as Hive writes them: `lang=de/part-0.parquet` has lang "de".

Their values are texts, in percent encoding where need be. A column of the file itself goes before them.
"""

from urllib.parse import unquote

import pyarrow as pa

NULL = "__HIVE_DEFAULT_PARTITION__"


def partition_columns(name: str) -> dict[str, str | None]:
    """Of a file, by its name relative to the input's common folder; the innermost folder counts last."""
    pairs = (folder.partition("=") for folder in name.split("/")[:-1])
    return {
        unquote(column): None if value == NULL else unquote(value)
        for column, equals, value in pairs
        if column and equals
    }


def is_partition(folder: str) -> bool:
    """Whether a folder's name is that of a column and its value."""
    return folder.partition("=")[0] not in ("", folder)


def with_partitions(schema: pa.Schema, name: str) -> pa.Schema:
    """The columns of a Parquet file, with those that its folders add."""
    for column in partition_columns(name).keys() - set(schema.names):
        schema = schema.append(pa.field(column, pa.string()))
    return schema
