"""The filters of all templates, which pay for what they do; and how values become text."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2 import pass_environment
from jinja2.filters import FILTERS
from jinja2.utils import _PassArg

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.control_tokens import MARK, enclosed
from pipeline.text.template_budget import OverBudget, budget
from pipeline.text.template_keys import Attribute, key_of, pay_for_values
from pipeline.text.template_methods import search_steps, words
from pipeline.text.template_numbers import number_filters
from pipeline.text.template_operators import Operators
from pipeline.text.template_sequences import sequence_filters
from pipeline.text.template_texts import OF_TEXT, text_filters

_ESCAPED = "\\udfff"  # how Python writes MARK within a printed list or object

# Left out: what pads to a width (center, indent, batch), what is for HTML (escape, safe), what is random.
_FREE = words("count d default first last length")
_REFUSING_NULLS = OF_TEXT | words("join replace string")
NULL_MESSAGE = "the template prints a null: write {{ column or '' }} where there may be one"


def filters(print_nulls: bool) -> dict[str, Callable[..., Any]]:
    """By name. Without `print_nulls` those that make text refuse nulls."""
    found: dict[str, Callable[..., Any]] = {name: FILTERS[name] for name in _FREE}
    found |= text_filters() | sequence_filters() | number_filters()
    found |= {"join": join, "replace": replace, "string": string, "tojson": to_json}
    if not print_nulls:
        found |= {name: refusing_nulls(found[name]) for name in _REFUSING_NULLS}
    return found


def charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """A further filter, charged for its arguments."""

    @wraps(function)
    def run(*args: Any) -> Any:
        for value in args:
            budget.get().weigh(value)
        return function(*args)

    return run


def string(value: object) -> str:
    text = budget.get().text(value)
    if isinstance(value, list | tuple | dict) and _ESCAPED in text and _holds_mark(value):
        text = text.replace(_ESCAPED, MARK)
    return text


def _holds_mark(value: object) -> bool:
    if isinstance(value, str):
        return MARK in value
    if isinstance(value, dict):
        return any(map(_holds_mark, (*value, *value.values())))
    return isinstance(value, list | tuple) and any(map(_holds_mark, value))


def text_without_nulls(value: object) -> str:
    if value is None:
        raise RowError(RowErrorCode.NULL_PROMPT, NULL_MESSAGE)
    return string(value)


def refusing_nulls(function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter that makes text of what it is given, and would make the word None of a null."""

    position = _PassArg.from_obj(function) is not None

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = args
        if len(args) > position and isinstance(args[position], list | tuple):
            budget.get().work(len(args[position]))
            given = (*args, *args[position])
        if any(value is None for value in given):
            raise RowError(RowErrorCode.NULL_PROMPT, NULL_MESSAGE)
        return function(*args, **kwargs)

    return run


@pass_environment
def join(environment: Operators, value: Any, d: str = "", attribute: Attribute = None) -> str:
    if attribute is None:
        return joined(value, d)
    values = budget.get().listed(value)
    pay_for_values(values, attribute)
    return joined(map(key_of(environment, attribute), values), d)


def joined(value: Any, d: str) -> str:
    spend = budget.get()
    values = spend.listed(value)
    if hasattr(values, "__len__"):
        spend.work(2 * len(values))
    texts = [string(item) for item in values]
    spend.spend(len(d) * len(texts))
    return d.join(texts)


def replace(value: object, old: str, new: str, count: int = -1) -> str:
    spend = budget.get()
    text = string(value)
    if MARK in text:
        new = enclosed(new)  # what the author puts into a row's text begins no token with it
    spend.work(1 + 2 * search_steps(text, old))
    times = text.count(old) if count < 0 else min(count, text.count(old))
    spend.spend(times * len(new))
    return text.replace(old, new, count)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Plain JSON; jinja2's own escapes <, > and & for HTML, and a model would read the escapes."""
    if indent is not None and not 0 <= indent <= 8:
        raise OverBudget("tojson's indent must be in [0, 8]")
    if separators is not None and sum(map(len, separators)) > 8:
        raise OverBudget("tojson's separators must not be longer than 8 characters")
    budget.get().print(value, indent or 0)
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
