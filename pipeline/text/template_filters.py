"""The filters of all templates, which pay for what they do; and how values become text."""

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2.filters import FILTERS

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.control_tokens import MARK, enclosed
from pipeline.text.template_budget import OverBudget, budget

_ESCAPED = "\\udfff"  # how Python writes MARK within a printed list or object


def words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Left out: what pads to a width (center, indent, batch), what is for HTML (escape, safe), what is random.
ALLOWED_FILTERS = words(
    "abs capitalize count d default dictsort first float groupby int items last length list lower map max "
    "min reject rejectattr reverse round select selectattr sort string title trim truncate unique upper "
    "wordcount"
)
OF_TEXT = words("capitalize join lower replace string title trim truncate upper wordcount")
NULL_MESSAGE = "the template prints a null: write {{ column or '' }} where there may be one"


def filters(print_nulls: bool) -> dict[str, Callable[..., Any]]:
    """By name. Without `print_nulls` those that make text refuse nulls."""
    found: dict[str, Callable[..., Any]] = {name: charged(FILTERS[name]) for name in ALLOWED_FILTERS}
    found |= {"join": join, "replace": replace, "string": string, "tojson": to_json}
    if not print_nulls:
        found |= {name: refusing_nulls(found[name]) for name in OF_TEXT}
    return found


def charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, charged for its arguments; it keeps jinja2's marks (pass_context and the like)."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        for value in args[:2]:  # the first may be the environment
            budget.get().step(value)
        return function(*args, **kwargs)

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

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        given = [*args, *(args[0] if args and isinstance(args[0], list | tuple) else ())]
        if any(value is None for value in given):
            raise RowError(RowErrorCode.NULL_PROMPT, NULL_MESSAGE)
        return function(*args, **kwargs)

    return run


def join(value: Any, d: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        value = [item[attribute] for item in value]
    texts = [string(item) for item in value]
    budget.get().spend(len(d) * len(texts))
    return d.join(texts)


def replace(value: object, old: str, new: str, count: int = -1) -> str:
    text = string(value)
    if MARK in text:
        new = enclosed(new)  # what the author puts into a row's text begins no token with it
    times = text.count(old) if count < 0 else min(count, text.count(old))
    budget.get().spend(times * len(new))
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
    budget.get().measure(value)
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
