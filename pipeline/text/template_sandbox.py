"""The jinja2 environment of all templates: what they may call, and what they pay for it.

Templates are code that came with somebody's checkpoint (CVE-2024-34359, CVE-2026-5760), and one careless
loop would hang a worker. So: jinja2's immutable sandbox, only the filters and methods below, and a budget
that pays for every loop round, call, filter and printed character.
"""

import json
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

from jinja2 import Undefined, nodes, pass_context
from jinja2.filters import FILTERS
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.template_budget import OverBudget, budget
from pipeline.text.template_names import FUNCTIONS


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Left out: what pads to a width (center, indent, batch), what is for HTML (escape, safe), what is random.
ALLOWED_FILTERS = _words(
    "abs capitalize count d default dictsort first float groupby int items last length list lower map max "
    "min reject rejectattr reverse round select selectattr sort string title trim truncate unique upper "
    "wordcount"
)
ALLOWED_METHODS = {
    str: _words(
        "capitalize casefold count endswith find index isalnum isalpha isdigit islower isspace istitle "
        "isupper join lower lstrip partition removeprefix removesuffix replace rfind rindex rpartition "
        "rsplit rstrip split splitlines startswith strip title upper"
    ),
    dict: _words("get items keys values"),
    list: _words("count index"),
    tuple: _words("count index"),
    int: _words(""),
    float: _words("is_integer"),
}


class Sandbox(ImmutableSandboxedEnvironment):
    """Callers compile only trees that `Charged` has rewritten, and set `budget` before they render."""

    intercepted_binops = frozenset(("+", "*", "**", "%"))
    mark: Callable[[str], str] = str  # what `marked` does to text

    def __init__(self, print_nulls: bool, undefined: type[Undefined], **options: Any) -> None:
        super().__init__(undefined=undefined, finalize=_print if print_nulls else _refuse_null, **options)
        own = {"join": _join, "replace": _replace, "string": _string, "tojson": _to_json}
        self.filters = {name: _charged(FILTERS[name]) for name in ALLOWED_FILTERS} | own
        self.globals = {name: self.globals[name] for name in FUNCTIONS}

    def add_filters(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        self.filters |= {name: _charged(run) for name, run in filters.items()}

    def charge_step(self) -> None:
        """Does nothing: loop and macro bodies begin with a call of it, and `call` below charges for that."""

    def concatenate(self, *values: object) -> str:
        return "".join(map(_string, values))

    def marked(self, value: object) -> object:
        """A printed value: text and what holds text is marked, numbers and null stay what they are."""
        if isinstance(value, list | tuple | dict):
            value = _string(value)
        return self.mark(value) if isinstance(value, str) else value

    def wrap_str_format(self, value: Any) -> None:
        """Offer no safe `str.format` either, as jinja2 would: `{:1000000000}` makes one gigabyte."""
        return

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, methods in ALLOWED_METHODS.items():
            if isinstance(obj, kind) and callable(value):
                return attr in methods
        return super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        owner, name = getattr(obj, "__self__", None), getattr(obj, "__name__", "")
        budget.get().step(owner)
        if isinstance(owner, str) and name == "replace":
            return _replace(owner, *args)  # as in Python 3.11: by position only
        if isinstance(owner, str) and name == "join":
            return _join(args[0], owner)
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if operator == "+" and not numbers:
            if isinstance(left, str | list | tuple) and isinstance(right, str | list | tuple):
                budget.get().spend(len(left) + len(right))
        elif not numbers:
            raise OverBudget(
                f"{operator} is for numbers, got {type(left).__name__} and {type(right).__name__}"
            )
        elif abs(left) > 2**64 or abs(right) > (64 if operator == "**" else 2**64):
            raise OverBudget(f"the numbers are too large for {operator}")
        return super().call_binop(context, operator, left, right)


class Charged(NodeTransformer):
    """Makes every loop round, macro call, piece of literal text and `~` of a template pay."""

    def visit_For(self, node: nodes.For) -> nodes.Node:
        return self._charge_body(node)

    def visit_Macro(self, node: nodes.Macro) -> nodes.Node:
        return self._charge_body(node)

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        return nodes.Const(node.data, lineno=node.lineno)  # goes through `finalize`, as values do

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("concatenate", node.nodes, node.lineno)

    def _charge_body(self, node: nodes.For | nodes.Macro) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_call("charge_step", [], node.lineno), lineno=node.lineno))
        return node


def _call(method: str, args: list[nodes.Expr], line: int) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), args, [], None, None, lineno=line)


def _charged(function: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, charged for its arguments; it keeps jinja2's marks (pass_context and the like)."""

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        for value in args[:2]:  # the first may be the environment
            budget.get().step(value)
        return function(*args, **kwargs)

    return run


def _string(value: object) -> str:
    return budget.get().text(value)


def _join(value: Any, d: str = "", attribute: str | None = None) -> str:
    if attribute is not None:
        value = [item[attribute] for item in value]
    texts = [_string(item) for item in value]
    budget.get().spend(len(d) * len(texts))
    return d.join(texts)


def _replace(value: object, old: str, new: str, count: int = -1) -> str:
    text = _string(value)
    times = text.count(old) if count < 0 else min(count, text.count(old))
    budget.get().spend(times * len(new))
    return text.replace(old, new, count)


def _to_json(
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


@pass_context  # also keeps jinja2 from printing constants at compile time, uncharged
def _print(context: Context, value: object) -> str:
    return _string(value)


@pass_context
def _refuse_null(context: Context, value: object) -> str:
    if value is None:
        message = "the template prints a null: write {{ column or '' }} where there may be one"
        raise RowError(RowErrorCode.NULL_PROMPT, message)
    return _string(value)
