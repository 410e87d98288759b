"""What the first values of a column have in common."""

from typing import Any

import pyarrow as pa
import pytest

from pipeline.reading.json_types import common_kind, kind_of, kind_of_type, named_type, type_of_kind

INFERRED: list[tuple[list[Any], str]] = [
    ([1, None, -5], "int64"),
    ([1, 0.5], "double"),
    ([1.0, 2.0], "double"),
    ([True, None], "bool"),
    ([True, 1], "string"),
    (["a", 1], "string"),
    (["a", None], "string"),
    ([None], "string"),
    ([2**63 - 1, 2**63], "int64"),
    ([2**70], "string"),
    ([2**70, 0.5], "double"),
    ([[1], [], None, [2, None]], "list<item: int64>"),
    ([[1], [0.5]], "list<item: double>"),
    ([[1, "a"]], "list<item: string>"),
    ([[]], "list<item: string>"),
    ([[[1.5], []], []], "list<item: list<item: double>>"),
    ([[1], 1], "string"),
    ([{"a": 1}], "string"),
    ([[{"role": "user"}], []], "string"),
    ([[1], [{"a": 1}]], "string"),
    ([1, {"a": 1}], "string"),
]


def test_the_type_of_a_column_is_what_its_values_have_in_common() -> None:
    for values, expected in INFERRED:
        for order in (values, values[::-1]):
            assert str(type_of_kind(common_kind(map(kind_of, order)))) == expected, values


def test_lists_that_are_nested_too_deep_are_text() -> None:
    value: Any = 1
    for _ in range(17):
        value = [value]
    assert type_of_kind(kind_of(value[0])) != pa.string()
    assert type_of_kind(kind_of(value)) == pa.string()


@pytest.mark.parametrize("name", ["string", "int64", "float64", "bool"])
def test_types_by_name(name: str) -> None:
    plain = {"float64": pa.float64(), "bool": pa.bool_()}.get(name) or getattr(pa, name)()
    assert named_type(name) == plain
    assert named_type(f"list<list<{name}>>") == pa.list_(pa.list_(plain))


def test_parquets_types_have_the_kinds_of_json() -> None:
    kinds = {pa.int8(): "int64", pa.float32(): "float64", pa.date32(): "object", pa.null(): "null"}
    assert {type_: kind_of_type(type_) for type_ in kinds} == kinds
    assert kind_of_type(pa.list_(pa.uint16())) == ("list", "int64")
