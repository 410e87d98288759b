"""Numbers of 32 and 16 bits come out as they were written, at every level, and mean the same number."""

import datetime
import decimal
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pipeline.reading.python_values import reader

FLOAT, HALF = pa.float32(), pa.float16()


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (FLOAT, 0.1),
        (FLOAT, 16777216.0),
        (FLOAT, 1e-45),
        (FLOAT, 3.4028235e38),
        (FLOAT, math.inf),
        (FLOAT, None),
        (HALF, 0.1),
        (pa.list_(FLOAT), [0.1, None]),
        (pa.large_list(FLOAT), [0.7]),
        (pa.list_(FLOAT, 2), [0.1, 0.7]),
        (pa.list_(FLOAT), None),
        (pa.struct([("a", FLOAT), ("b", pa.float64())]), {"a": 0.1, "b": 0.30000000000000004}),
        (pa.struct([("a", FLOAT)]), None),
        (pa.struct([("a", pa.list_(pa.struct([("b", FLOAT)])))]), {"a": [{"b": 0.1}, None]}),
        (pa.map_(pa.string(), FLOAT), [("k", 0.1), ("l", None)]),
        (pa.map_(FLOAT, pa.string()), [(0.1, "v")]),
        (pa.float64(), 0.30000000000000004),
        (pa.decimal128(5, 2), decimal.Decimal("7.50")),
        (pa.timestamp("us"), datetime.datetime(2026, 4, 1, 12)),
    ],
)
def test_a_value_is_what_was_written(type_: pa.DataType, value: Any) -> None:
    assert reader(type_)(pa.scalar(value, type_)) == value


def test_values_of_dictionaries() -> None:
    [scalar] = pa.array([0.1], FLOAT).dictionary_encode()
    assert reader(scalar.type)(scalar) == 0.1


def test_no_number_becomes_another_one() -> None:
    bits = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    read = reader(FLOAT)
    back = np.array([read(scalar) for scalar in pa.array(bits, FLOAT)]).astype(np.float32)
    assert np.array_equal(back, bits, equal_nan=True)
