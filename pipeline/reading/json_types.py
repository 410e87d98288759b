"""The Arrow type of a column of JSON values: what its first values have in common.

Integers beside numbers with a point are float64; booleans, strings and lists beside anything else are text.
Objects, and lists that hold some, are text too: their JSON. A *kind* is what is known while values are looked
at: the name of a type, OBJECT, HUGE or NULL, or `("list", kind)`.
"""

from collections.abc import Iterable
from functools import reduce
from typing import Any

import pyarrow as pa

LARGEST_INT = 2**63 - 1
NULL, HUGE, OBJECT = "null", "huge", "object"  # HUGE: integers beyond 64 bits
Kind = str | tuple[str, Any]
_MOST_LISTS = 16  # lists in lists beyond it are text
_PLAIN = {type(None): NULL, bool: "bool", float: "float64", str: "string", dict: OBJECT}
_NUMBERS = (HUGE, "int64", "float64")  # of two, the later one holds both
_TYPES = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}


def named_type(name: str) -> pa.DataType:
    """The type that `input.keep_types` names."""
    lists, _, plain = name.rstrip(">").rpartition("<")
    return _in_lists(_TYPES[plain], lists.count("list"))


def _in_lists(type_: pa.DataType, levels: int) -> pa.DataType:
    return reduce(lambda inner, _: pa.list_(inner), range(levels), type_)


def kind_of(value: Any) -> Kind:
    """The kind of one value."""
    if type(value) is int:
        return "int64" if fits_64_bits(value) else HUGE
    if type(value) is list:
        return "list", common_kind(map(kind_of, value))
    return _PLAIN[type(value)]


def fits_64_bits(value: int) -> bool:
    return -LARGEST_INT - 1 <= value <= LARGEST_INT


def common_kind(kinds: Iterable[Kind]) -> Kind:
    common: Kind = NULL
    for kind in dict.fromkeys(kinds):
        common = _merged(common, kind)
    return common


def _merged(one: Kind, other: Kind) -> Kind:
    if one == other or other == NULL:
        return one
    if one == NULL:
        return other
    if OBJECT in (one, other):
        return OBJECT
    if isinstance(one, tuple) and isinstance(other, tuple):
        return "list", _merged(one[1], other[1])
    if one in _NUMBERS and other in _NUMBERS:
        return max(one, other, key=_NUMBERS.index)
    return "string"


def type_of_kind(kind: Kind) -> pa.DataType:
    """The type of a column whose values have this kind in common.

    Text where there are only nulls, objects, or integers beyond 64 bits.
    """
    lists = 0
    while isinstance(kind, tuple):
        lists, kind = lists + 1, kind[1]
    if kind == OBJECT or lists > _MOST_LISTS:
        return pa.string()
    return _in_lists(_TYPES.get(kind, pa.string()), lists)


def kind_of_type(type_: pa.DataType) -> Kind:
    """The kind of a column of Parquet; OBJECT if JSON has no such values."""
    if pa.types.is_list(type_):
        return "list", kind_of_type(type_.value_type)
    kinds = {
        "int64": pa.types.is_integer, "float64": pa.types.is_floating, "bool": pa.types.is_boolean,
        "string": pa.types.is_string, NULL: pa.types.is_null,
    }  # fmt: skip
    return next((kind for kind, is_of_kind in kinds.items() if is_of_kind(type_)), OBJECT)
