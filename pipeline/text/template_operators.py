"""The operators of templates, each of which pays for what it does with its operands before it does it."""

from collections.abc import Callable
from typing import Any

from jinja2 import Undefined
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, missing

from pipeline.text.template_budget import OverBudget, budget
from pipeline.text.template_methods import METHODS, search_steps, words
from pipeline.text.template_values import LEAVES, MAX_BITS, inner_values

_NUMBERS = frozenset({int, float, bool})
_LARGE = 2**64
_SUM = 2 ** (MAX_BITS - 2)
_OWN_NAMES_OF_DICTS = frozenset(dir(dict))
_OF_LOOPS = words("depth depth0 first index index0 last length nextitem previtem revindex revindex0")
_KNOWN = {**METHODS, LoopContext: _OF_LOOPS}  # attributes that need no check of the sandbox
_SLOW_LOOK_UP = 8  # steps where jinja2 tries one thing after the other


class Operators(ImmutableSandboxedEnvironment):
    """What compiled templates call in place of Python's operators; `Charged` puts the first five there."""

    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "**", "%"))
    intercepted_unops = frozenset(("+", "-"))
    text_of: Callable[[object], str]

    def charge(self, steps: int) -> bool:
        """Pay for a block; true, so that a loop's condition can begin with it."""
        budget.get().work(steps)
        return True

    def weighed(self, value: Any) -> Any:
        """The value, paid for: it is compared then, or the key of an object."""
        budget.get().weigh(value)
        return value

    def contains(self, value: Any, container: Any) -> bool:
        spend, kind = budget.get(), type(container)
        if kind is str or kind is bytes:
            spend.work(1 + search_steps(container, value))
        elif kind is dict:
            spend.weigh(value)
        elif kind in (list, tuple) and type(value) in LEAVES:
            steps = 1 + (len(value) >> 8 if type(value) is str else 0)
            spend.work(1 + len(container) * steps)
        else:
            container = spend.listed(container)
            spend.weigh(value)
            spend.weigh(container)
            spend.work(len(container) if type(container) is range else 0)
        return value in container

    def searched(self, value: Any) -> Any:
        """What stands behind `in` where comparisons are chained: any value may be looked for in it."""
        spend = budget.get()
        container = spend.listed(value)
        if isinstance(container, str | bytes):
            spend.work(len(container) >> 3)
        elif isinstance(container, range):
            spend.work(len(container))
        return self.weighed(container)

    def cut(self, value: Any, start: Any, stop: Any, step: Any) -> Any:
        """`value[start:stop:step]`"""
        part = slice(start, stop, step)
        if isinstance(value, str | list | tuple | bytes | range):
            length = len(range(*part.indices(len(value))))
            if isinstance(value, str):
                budget.get().keep_text(length, like=value)
            else:
                budget.get().keep_items(length)
        return value[part]

    def concatenate(self, *values: object) -> str:
        return "".join(map(self.text_of, values))

    def call_binop(self, context: Context | None, operator: str, left: Any, right: Any) -> Any:
        if type(left) in _NUMBERS and type(right) in _NUMBERS:
            _require_small(operator, left, right)
        elif not isinstance(left, Undefined) and not isinstance(right, Undefined):
            _pay_for_adding(operator, left, right)
        return self.binop_table[operator](left, right)

    def call_unop(self, context: Context, operator: str, arg: Any) -> Any:
        if isinstance(arg, int) and arg.bit_length() > MAX_BITS:
            raise OverBudget(f"the number is too large for {operator}")
        return super().call_unop(context, operator, arg)

    def getitem(self, obj: Any, argument: Any) -> Any:
        kind = type(obj)
        if kind is dict and type(argument) is str and argument in obj:
            return obj[argument]
        if kind is list and type(argument) is int and -len(obj) <= argument < len(obj):
            return obj[argument]
        budget.get().work(_SLOW_LOOK_UP)
        budget.get().weigh(argument)
        return super().getitem(obj, argument)

    def getattr(self, obj: Any, attribute: str) -> Any:
        kind = type(obj)
        if kind is dict and attribute not in _OWN_NAMES_OF_DICTS:
            return obj[attribute] if attribute in obj else self.undefined(obj=obj, name=attribute)
        if attribute in _KNOWN.get(kind, ()) or (kind is Namespace and attribute[0] != "_"):
            found = getattr(obj, attribute, missing)
            if found is not missing:
                return found
        budget.get().work(_SLOW_LOOK_UP)
        return super().getattr(obj, attribute)


def _require_small(operator: str, left: float, right: float) -> None:
    if operator in "+-":
        small = all(type(number) is float or -_SUM < number < _SUM for number in (left, right))
    elif operator == "**":
        small = type(left) is float or (
            -64 <= right <= 64 and int(left).bit_length() * abs(right) <= MAX_BITS
        )
    else:
        small = all(type(number) is float or -_LARGE <= number <= _LARGE for number in (left, right))
    if not small:
        raise OverBudget(f"the numbers are too large for {operator}")


def _pay_for_adding(operator: str, left: Any, right: Any) -> None:
    """Of other values than numbers, texts, lists and bytes can be added, and times and decimals."""
    if operator == "+" and isinstance(left, str) and isinstance(right, str):
        budget.get().spend(len(left) + len(right))
    elif operator == "+" and isinstance(left, list | tuple) and isinstance(right, list | tuple):
        budget.get().keep_items(len(left) + len(right))
    elif operator == "+" and isinstance(left, bytes) and isinstance(right, bytes):
        budget.get().spend(len(left) + len(right))
    elif operator in ("*", "**", "%"):
        raise OverBudget(f"{operator} is for numbers, got {type(left).__name__} and {type(right).__name__}")
    elif inner_values(left, printed=False) is not None or inner_values(right, printed=False) is not None:
        raise TypeError(operator)
