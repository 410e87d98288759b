"""The filters over lists, objects and other sequences, each of which pays for all values at once.

jinja2's own are lazy: one that gives no list is given the values of the one before it as a list. So no chain
of generators can grow, and a filter that finds nothing has paid for its search.
"""

from collections.abc import Callable
from functools import reduce, wraps
from typing import Any

from jinja2 import pass_environment
from jinja2.filters import FILTERS
from jinja2.utils import _PassArg

from pipeline.text.template_budget import PLACE, budget
from pipeline.text.template_keys import Attribute, key_of, pay_for_values
from pipeline.text.template_operators import Operators
from pipeline.text.template_sorting import sorting_filters

Filter = Callable[..., Any]
_CHOOSING = ("items", "reject", "reverse", "select")


def sequence_filters() -> dict[str, Filter]:
    choosing = {name: paying(FILTERS[name]) for name in _CHOOSING}
    by_attribute = {name: paying(FILTERS[name], by=0) for name in ("rejectattr", "selectattr")}
    own: dict[str, Filter] = {"list": as_list, "map": paying(FILTERS["map"], by="attribute"), "sum": total}
    return choosing | by_attribute | sorting_filters() | own


def paying(function: Filter, by: str | int | None = None) -> Filter:
    """The filter; it keeps jinja2's marks (pass_context and the like).

    `by` is the name or the place of the argument that is an attribute.
    """
    position = _PassArg.from_obj(function) is not None

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        value = budget.get().listed(args[position])
        further = args[position + 1 :]
        attribute = further[by] if isinstance(by, int) and further else kwargs.get(str(by))
        pay_for_values(value, attribute, *further, *kwargs.values())
        return function(*args[:position], value, *further, **kwargs)

    return run


def as_list(value: Any) -> list[Any]:
    spend = budget.get()
    value = spend.listed(value)
    if hasattr(value, "__len__"):
        spend.keep_items(len(value), size=8 if isinstance(value, list | tuple | dict) else PLACE)
    return list(value)


@pass_environment
def total(environment: Operators, value: Any, attribute: Attribute = None, start: Any = 0) -> Any:
    """`sum`, which adds lists, too."""
    values = budget.get().listed(value)
    pay_for_values(values, attribute)
    if attribute is not None:
        values = map(key_of(environment, attribute), values)
    return reduce(lambda left, right: environment.call_binop(None, "+", left, right), values, start)
