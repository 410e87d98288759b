"""A value fits a column if the column gives back the same value; a text column takes all."""

import datetime
import json
import math
from typing import Any

import pyarrow as pa

from pipeline.reading.fit_values import UNFIT, as_json, as_text, fitting

NOON = datetime.datetime(2026, 1, 1, 12)
FIT: dict[pa.DataType, list[tuple[Any, Any]]] = {
    pa.int64(): [
        (5, 5), (2**63 - 1, 2**63 - 1), (2**63, UNFIT), (-(2**63), -(2**63)), (3.0, 3), (2.0**53, 2**53),
        (2.0**54, UNFIT), (0.5, UNFIT), ("5", UNFIT), (True, UNFIT), ([5], UNFIT), ({"n": 5}, UNFIT),
    ],
    pa.float64(): [
        (0.5, 0.5), (5, 5.0), (2**53, 2.0**53), (2**53 + 1, UNFIT), (10**400, UNFIT), (False, UNFIT),
        ("0.5", UNFIT),
    ],
    pa.bool_(): [(True, True), (1, UNFIT), ("true", UNFIT)],
    pa.string(): [
        ("a", "a"), (5, "5"), (True, "true"), ([1, "ü"], '[1,"ü"]'), ({"a": 2**70}, f'{{"a":{2**70}}}'),
    ],
    pa.list_(pa.int64()): [([1, None, 2.0], [1, None, 2]), ([], []), ([1, "a"], UNFIT), (1, UNFIT)],
    pa.list_(pa.string()): [(["a", 5], ["a", "5"])],
    pa.timestamp("us"): [(NOON, NOON), ("2026-01-01", UNFIT)],
    pa.int8(): [(5, 5), (300, UNFIT), (True, UNFIT)],
    pa.float32(): [(0.5, 0.5), (0.1, 0.1), (0.123456789, UNFIT), (16777217.0, UNFIT)],
}  # fmt: skip


def test_what_fits_and_what_stands_for_it() -> None:
    for type_, cases in FIT.items():
        fit = fitting(type_)
        assert fit(None) is None
        for value, expected in cases:
            found = fit(value)
            assert found == expected, (type_, value)
            assert type(found) is type(expected), (type_, value)


def test_text_of_what_json_lacks() -> None:
    assert as_text(math.inf) == "inf"
    assert as_text(b"\xff") == "\\xff"
    assert as_text(NOON) == "2026-01-01 12:00:00"
    assert json.loads(as_json({"when": NOON, "n": [10**30]})) == {"when": str(NOON), "n": [10**30]}
