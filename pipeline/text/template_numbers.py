"""The filters of numbers. What a text, a list or a large number would make of them is refused or paid for.

jinja's `round` up or down multiplies by a power of ten, which repeats a text a thousand times.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from jinja2.filters import FILTERS

from pipeline.text.template_budget import OverBudget, budget
from pipeline.text.template_values import MAX_BITS

_MOST_PLACES = 64  # to which a number is rounded
_MOST_DIGITS = 308  # of a decimal number before its point, as many as a float has


def number_filters() -> dict[str, Callable[..., Any]]:
    return {"abs": absolute, "float": to_float, "int": to_int, "round": to_round}


def absolute(value: Any) -> Any:
    _require_small("abs", value)
    return abs(value)


def to_float(value: Any, default: float = 0.0) -> float:
    _pay_for_digits(value)
    return FILTERS["float"](value, default)  # type: ignore[no-any-return]


def to_int(value: Any, default: int = 0, base: int = 10) -> int:
    _pay_for_digits(value)
    _require_small("int", value)
    found: int = FILTERS["int"](value, default, base)
    _require_small("int", found)
    return found


def to_round(value: float, precision: int = 0, method: str = "common") -> float:
    if not isinstance(value, int | float | Decimal) or not isinstance(precision, int):
        raise TypeError("round is for numbers")
    if not -_MOST_PLACES <= precision <= _MOST_PLACES:
        raise OverBudget(f"round's precision must be in [-{_MOST_PLACES}, {_MOST_PLACES}]")
    _require_small("round", value)
    return FILTERS["round"](value, precision, method)  # type: ignore[no-any-return]


def _pay_for_digits(value: object) -> None:
    budget.get().work(1 + (len(value) >> 6) if isinstance(value, str | bytes) else 1)


def _require_small(name: str, value: object) -> None:
    if isinstance(value, int):
        large = value.bit_length() > MAX_BITS
    else:
        large = isinstance(value, Decimal) and value.is_finite() and value.adjusted() > _MOST_DIGITS
    if large:
        raise OverBudget(f"the number is too large for {name}")
