"""The jinja2 environment of all templates: what they may call, and what they pay for it.

Templates are code that came with somebody's checkpoint (CVE-2024-34359, CVE-2026-5760), and one careless
loop would hang a worker. So: jinja2's immutable sandbox, only the filters, tests and methods of this room,
and a budget from which everything pays before it is done.
"""

from collections.abc import Callable, Collection, Mapping
from types import BuiltinMethodType
from typing import Any

from jinja2 import Undefined, nodes, pass_context
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext, Macro
from jinja2.utils import Namespace

from pipeline.text.template_budget import MAX_CALLS, Budget, OverBudget, budget
from pipeline.text.template_charges import Charged, DirectCalls
from pipeline.text.template_filters import charged, filters, joined, replace, string, text_without_nulls
from pipeline.text.template_limits import MAX_KEYS, TokenLimit
from pipeline.text.template_methods import allowed_methods, pay_for_method
from pipeline.text.template_names import FUNCTIONS
from pipeline.text.template_operators import Operators
from pipeline.text.template_tests import tests
from pipeline.text.template_values import may_collide

_CALL = 8  # steps
_PAIR = 128  # bytes of an object's key and value


class Sandbox(Operators):
    """Callers set `budget` before they render."""

    code_generator_class = DirectCalls

    def __init__(self, print_nulls: bool, undefined: type[Undefined], **options: Any) -> None:
        super().__init__(
            undefined=undefined,
            finalize=_print if print_nulls else _refuse_null,
            optimized=False,  # nothing is computed while a template is compiled
            extensions=[*options.pop("extensions", ()), TokenLimit],
            **options,
        )
        self.filters = filters(print_nulls)
        self.tests |= tests()
        self.text_of = string if print_nulls else text_without_nulls
        self.globals = {name: self.globals[name] for name in FUNCTIONS}

    def add_filters(self, filters: Mapping[str, Callable[..., Any]]) -> None:
        self.filters |= {name: charged(run) for name, run in filters.items()}

    def compiled(self, tree: nodes.Template) -> Any:
        """The tree, which is changed, as jinja2's Template."""
        return self.from_string(Charged(tree).visit(tree))

    def wrap_str_format(self, value: Any) -> None:
        """Offer no safe `str.format` either, as jinja2 would: `{:1000000000}` makes one gigabyte."""
        return

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        if not callable(value):
            return super().is_safe_attribute(obj, attr, value)
        methods = allowed_methods(obj)
        if methods is not None:
            return attr in methods
        return isinstance(obj, LoopContext | Namespace) and super().is_safe_attribute(obj, attr, value)

    def call(self, context: Context, obj: Any, *args: Any, **kwargs: Any) -> Any:
        spend = budget.get()
        spend.work(_CALL + len(args) + len(kwargs))
        if type(obj) is BuiltinMethodType:
            kwargs.pop("_loop_vars", None)
            kwargs.pop("_block_vars", None)
            return _call_method(spend, obj.__self__, obj, args, kwargs)
        if isinstance(obj, Macro | LoopContext):
            return self._call_within(spend, context, obj, args, kwargs)
        if isinstance(obj, type):
            args = tuple(map(spend.listed, args))
            spend.keep(_PAIR * len(kwargs))
        for value in args:
            spend.weigh(value)  # `loop.changed` compares, `dict` and `namespace` look up
            if isinstance(obj, type):
                _pay_for_keys(spend, value)
        return super().call(context, obj, *args, **kwargs)

    def _call_within(
        self, spend: Budget, context: Context, obj: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        spend.keep(8 * len(args) + _PAIR * len(kwargs))
        if spend.calls >= MAX_CALLS:
            raise OverBudget(f"its macros and loops call each other more than {MAX_CALLS} deep")
        spend.calls += 1
        try:
            return context.call(obj, *args, **kwargs)
        finally:
            spend.calls -= 1


def _pay_for_keys(spend: Budget, value: Any) -> None:
    """Of an object that `dict` or `namespace` makes of another one or of pairs."""
    if not isinstance(value, Collection):
        return
    spend.keep(_PAIR * len(value))
    if isinstance(value, list | tuple):
        if not all(isinstance(pair, list | tuple | str) for pair in value):
            raise TypeError("dict")  # a pair that is an iterator has not been paid for
        if sum(may_collide(pair[0]) for pair in value if pair) > MAX_KEYS:
            raise OverBudget(f"an object has more than {MAX_KEYS} keys that are lists or large numbers")


def _call_method(
    spend: Budget, owner: Any, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    name = method.__name__
    methods = allowed_methods(owner)
    if methods is None or name not in methods:
        raise SecurityError(name)
    if isinstance(owner, str) and name == "replace":
        return replace(owner, *args)  # as in Python 3.11: by position only
    if isinstance(owner, str) and name == "join":
        return joined(args[0], owner)
    pay_for_method(spend, owner, name, args, kwargs)
    made = method(*args, **kwargs)
    if isinstance(owner, str) and isinstance(made, str):
        spend.keep_longer(made, than=owner)
    return made


@pass_context  # also keeps jinja2 from printing constants at compile time, uncharged
def _print(context: Context, value: object) -> str:
    return string(value)


@pass_context
def _refuse_null(context: Context, value: object) -> str:
    return text_without_nulls(value)
