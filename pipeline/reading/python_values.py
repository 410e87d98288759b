"""Values of a Parquet column as Python has them; a number of 32 or 16 bits as its author wrote it.

Python has floats of 64 bits only: there 0.1 of 32 bits is 0.10000000149011612. The shortest decimal that the
smaller type reads as the same number is 0.1 again.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa

Convert = Callable[[Any], Any]


def reader(type_: pa.DataType) -> Callable[[pa.Scalar], Any]:
    """What gives a scalar's value, None for a null. ValueError or OverflowError for a time far away."""
    convert = _converting(type_)
    return lambda scalar: convert(scalar.as_py()) if convert else scalar.as_py()


def _converting(type_: pa.DataType) -> Convert | None:
    """What makes of a value of `as_py` one with short numbers; None if there are none in this type."""
    types = pa.types
    if types.is_float32(type_):
        return _or_null(lambda value: float(str(np.float32(value))))
    if types.is_float16(type_):
        return _or_null(lambda value: float(str(np.float16(value))))
    if types.is_dictionary(type_) or types.is_run_end_encoded(type_):
        return _converting(type_.value_type)
    if types.is_map(type_):
        return _of_map(_converting(type_.key_type), _converting(type_.item_type))
    if types.is_struct(type_):
        fields = {field.name: _converting(field.type) for field in type_}
        return _of_struct({name: convert for name, convert in fields.items() if convert})
    if types.is_list(type_) or types.is_large_list(type_) or types.is_fixed_size_list(type_):
        inner = _converting(type_.value_type)
        return None if inner is None else _or_null(lambda value: [inner(item) for item in value])
    return None


def _or_null(convert: Convert) -> Convert:
    return lambda value: None if value is None else convert(value)


def _of_map(key: Convert | None, item: Convert | None) -> Convert | None:
    if key is None and item is None:
        return None
    of_key, of_item = key or _same, item or _same
    return _or_null(lambda pairs: [(of_key(one), of_item(other)) for one, other in pairs])


def _of_struct(fields: dict[str, Convert]) -> Convert | None:
    if not fields:
        return None
    return _or_null(lambda value: value | {name: convert(value[name]) for name, convert in fields.items()})


def _same(value: Any) -> Any:
    return value
