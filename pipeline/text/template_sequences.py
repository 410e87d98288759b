"""The filters over lists, objects and other sequences, each of which pays for all values at once.

jinja2's own are lazy: one that gives no list is given the values of the one before it as a list. So no chain
of generators can grow, and a filter that finds nothing has paid for its search.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import reduce, wraps
from typing import Any

from jinja2 import pass_environment
from jinja2.filters import FILTERS, ignore_case, make_attrgetter
from jinja2.utils import _PassArg

from pipeline.text.template_budget import PLACE, budget
from pipeline.text.template_operators import Operators
from pipeline.text.template_values import may_collide

Filter = Callable[..., Any]
_STEPS = 6  # for each value, on which a function of Python's is called
_COMPARING = ("dictsort", "groupby", "max", "min", "sort")
_CHOOSING = ("items", "map", "reject", "rejectattr", "reverse", "select", "selectattr")


def sequence_filters() -> dict[str, Filter]:
    comparing = {name: paying(FILTERS[name], compares=True) for name in _COMPARING}
    choosing = {name: paying(FILTERS[name]) for name in _CHOOSING}
    return comparing | choosing | {"list": as_list, "sum": total, "unique": unique}


def paying(function: Filter, compares: bool = False) -> Filter:
    """The filter; it keeps jinja2's marks (pass_context and the like)."""
    position = _PassArg.from_obj(function) is not None

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        value = budget.get().listed(args[position])
        further = args[position + 1 :]
        _pay(value, [*further, *kwargs.values()], compares)
        return function(*args[:position], value, *further, **kwargs)

    return run


def _pay(value: Any, options: Sequence[Any], compares: bool) -> None:
    spend = budget.get()
    steps = _STEPS
    for option in options:
        spend.weigh(option)
        if isinstance(option, str):  # of `attribute`, or of the name of a filter or test
            steps += option.count(".") + option.count(",")
    if compares:
        spend.weigh(value)
    values = len(value) if hasattr(value, "__len__") else 1
    spend.work(steps * values)
    spend.keep(PLACE * values)


def as_list(value: Any) -> list[Any]:
    spend = budget.get()
    value = spend.listed(value)
    if hasattr(value, "__len__"):
        spend.keep_items(len(value), size=8 if isinstance(value, list | tuple | dict) else PLACE)
    return list(value)


@pass_environment
def unique(
    environment: Operators,
    value: Any,
    case_sensitive: bool = False,
    attribute: str | int | None = None,
) -> Iterator[Any]:
    spend = budget.get()
    values = spend.listed(value)
    _pay(values, [attribute], compares=False)
    key_of = make_attrgetter(environment, attribute, None if case_sensitive else ignore_case)
    seen, colliding = set(), 0
    for item in values:
        key = key_of(item)
        spend.weigh(key)
        colliding += may_collide(key)
        spend.work(colliding >> 5)
        if key not in seen:
            seen.add(key)
            yield item


@pass_environment
def total(environment: Operators, value: Any, attribute: str | int | None = None, start: Any = 0) -> Any:
    """`sum`, which adds lists, too."""
    values = budget.get().listed(value)
    _pay(values, [attribute], compares=False)
    if attribute is not None:
        values = map(make_attrgetter(environment, attribute), values)
    return reduce(lambda left, right: environment.call_binop(None, "+", left, right), values, start)
