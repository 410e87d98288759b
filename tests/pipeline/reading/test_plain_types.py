"""Types that differ only in how values are stored become one, with the same values."""

import pyarrow as pa

from pipeline.reading.plain_types import as_plain, plain_type

TEXT = pa.dictionary(pa.int8(), pa.large_string())
PAIRS = {
    pa.large_string(): pa.string(),
    pa.string_view(): pa.string(),
    pa.large_binary(): pa.binary(),
    pa.large_list(pa.large_string()): pa.list_(pa.string()),
    pa.list_(pa.field("element", pa.int8(), nullable=False)): pa.list_(pa.int8()),
    pa.struct([("a", pa.large_string())]): pa.struct([("a", pa.string())]),
    pa.map_(pa.large_string(), pa.int8()): pa.map_(pa.string(), pa.int8()),
    pa.list_(pa.large_string(), 2): pa.list_(pa.string(), 2),
    TEXT: pa.string(),
    pa.list_(TEXT): pa.list_(pa.string()),
    pa.timestamp("us", "UTC"): pa.timestamp("us", "UTC"),
}


def test_one_type_for_each_kind_at_every_level() -> None:
    assert {type_: plain_type(type_) for type_ in PAIRS} == PAIRS


def test_values_stay_the_same() -> None:
    columns = [
        pa.array(["a", None], pa.large_string()),
        pa.array([["a"], None], pa.large_list(TEXT)),
        pa.array([{"a": "x"}, None], pa.struct([("a", pa.large_string())])),
        pa.array([[("k", 1)], None], pa.map_(pa.large_string(), pa.int8())),
        pa.array(["a", None]).dictionary_encode(),
    ]
    for column in columns:
        plain = as_plain(column)
        assert plain.type == plain_type(column.type)
        assert plain.to_pylist() == column.to_pylist()
