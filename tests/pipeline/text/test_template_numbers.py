"""Filters of numbers take numbers, as jinja2's do, and nothing that a power of ten would repeat."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.filters import FILTERS

from pipeline.errors import RowError
from pipeline.text.templates import BoundedTemplate

METHODS = ("common", "ceil", "floor")
ROUNDED = {method: BoundedTemplate(f"{{{{ a | round(b, '{method}') }}}}", "test") for method in METHODS}


@given(
    value=st.floats(-1e9, 1e9)
    | st.integers(-(10**9), 10**9)
    | st.booleans()
    | st.decimals(-99, 99, places=3),
    precision=st.integers(0, 6),
    method=st.sampled_from(METHODS),
)
def test_numbers_are_rounded_as_jinja_does(value: Any, precision: int, method: str) -> None:
    expected = FILTERS["round"](value, precision, method)
    assert ROUNDED[method].render({"a": value, "b": precision}) == str(expected)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("value", ["a" * 1_000_000, [1], (1,), b"1", None, {"a": 1}])
def test_nothing_else_is_rounded(value: object, method: str) -> None:
    for values in ({"a": value, "b": 3}, {"a": 1.5, "b": value}):
        with pytest.raises(RowError, match="failed with TypeError"):
            ROUNDED[method].render(values)


@pytest.mark.parametrize("source", ["{{ a | round(0, 'ceil') }}", "{{ a | int }}"])
def test_a_decimal_of_a_million_digits_is_refused(source: str) -> None:
    with pytest.raises(RowError, match="the number is too large for"):
        BoundedTemplate(source, "test").render({"a": Decimal("1E+1000000")})
