"""Which values fit a column's type, and what stands for them there.

A value fits if the column gives back the same value. An integer fits float64 and a number with a point int64
only where nothing is lost; everything fits string, as its JSON where it is no text. Nulls fit every type.
"""

import json
import math
from collections.abc import Callable
from typing import Any, Final

import orjson
import pyarrow as pa

from pipeline.reading.json_types import fits_64_bits
from pipeline.reading.python_values import reader

UNFIT: Final = object()
LARGEST_EXACT = 2**53  # beyond it several integers have the same float
Fit = Callable[[Any], Any]  # what stands for a value in the column, or UNFIT


def fitting(type_: pa.DataType) -> Fit:
    """What turns a value into one for a column of this type, or into UNFIT."""
    if pa.types.is_list(type_):
        return _list_of(fitting(type_.value_type))
    plain = {pa.string(): as_text, pa.int64(): _as_int, pa.float64(): _as_float, pa.bool_(): _as_bool}
    return _or_null(plain.get(type_) or _as(type_))


def _or_null(fit: Fit) -> Fit:
    return lambda value: None if value is None else fit(value)


def _list_of(fit: Fit) -> Fit:
    def fit_list(value: Any) -> Any:
        if value is None:
            return None
        if not isinstance(value, list):
            return UNFIT
        items = [fit(item) for item in value]
        return UNFIT if any(item is UNFIT for item in items) else items

    return fit_list


def _as_int(value: Any) -> Any:
    if type(value) is int and fits_64_bits(value):
        return value
    exact = type(value) is float and value.is_integer() and abs(value) <= LARGEST_EXACT
    return int(value) if exact else UNFIT


def _as_float(value: Any) -> Any:
    if type(value) is float:
        return value
    try:
        return float(value) if type(value) is int and int(float(value)) == value else UNFIT
    except OverflowError:  # an integer beyond all floats
        return UNFIT


def _as_bool(value: Any) -> Any:
    return value if isinstance(value, bool) else UNFIT


def _as(type_: pa.DataType) -> Fit:
    """For types that JSON lacks, such as times, which files of Parquet brought."""
    read = reader(type_)

    def fit(value: Any) -> Any:
        try:
            same = read(pa.scalar(value, type_)) == value
        except (pa.ArrowException, ValueError, TypeError, OverflowError):
            return UNFIT
        return value if same else UNFIT

    return fit


def as_text(value: Any) -> str:
    """A string as it is; numbers, lists and objects as JSON; anything else (a date) as Python writes it."""
    if isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="backslashreplace")
    if not isinstance(value, bool | int | float | list | tuple | dict):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return as_json(value)


def as_json(value: Any) -> str:
    """A value's JSON; what JSON does not have is text in it."""
    try:
        return orjson.dumps(value, default=as_text, option=orjson.OPT_PASSTHROUGH_DATETIME).decode()
    except TypeError:  # integers beyond 64 bits, or keys that are no texts
        return json.dumps(value, default=as_text, ensure_ascii=False, separators=(",", ":"))
