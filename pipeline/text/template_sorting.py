"""The filters that compare the values of a list or an object: each key is paid for before any is compared.

They give what jinja2's own give, which would keep a text in lower case for each value.
"""

from collections.abc import Callable, Iterator
from itertools import chain, groupby
from typing import Any

from jinja2 import pass_environment
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import _GroupTuple

from pipeline.text.template_budget import budget
from pipeline.text.template_keys import (
    Attribute,
    compared,
    compared_in_lower_case,
    key_of,
    keys_of,
    pay_for_values,
)
from pipeline.text.template_operators import Operators
from pipeline.text.template_values import may_collide


def sorting_filters() -> dict[str, Callable[..., Any]]:
    extremes = {"max": _extreme(max), "min": _extreme(min)}
    return {"dictsort": sort_object, "groupby": group, "sort": sort, "unique": unique, **extremes}


@pass_environment
def sort(
    environment: Operators,
    value: Any,
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: Attribute = None,
) -> list[Any]:
    values = _paid(value, attribute)
    return sorted(values, key=keys_of(environment, attribute, case_sensitive), reverse=reverse)


@pass_environment
def group(
    environment: Operators,
    value: Any,
    attribute: Attribute,
    default: Any = None,
    case_sensitive: bool = False,
) -> list[Any]:
    """`groupby`; a group is called as its first value is, in that one's case."""
    values = _paid(value, attribute, default)
    find = key_of(environment, attribute, case_sensitive, default)
    name = key_of(environment, attribute, default=default)
    groups = [list(members) for _, members in groupby(sorted(values, key=find), find)]
    return [_GroupTuple(name(members[0]), members) for members in groups]


def sort_object(value: Any, case_sensitive: bool = False, by: str = "key", reverse: bool = False) -> Any:
    """`dictsort`"""
    if by not in ("key", "value"):
        raise FilterArgumentError("by must be key or value")
    position = ("key", "value").index(by)
    finish = compared if case_sensitive else compared_in_lower_case
    pay_for_values(value)
    return sorted(value.items(), key=lambda pair: finish(pair[position]), reverse=reverse)


def _extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    @pass_environment
    def run(
        environment: Operators, value: Any, case_sensitive: bool = False, attribute: Attribute = None
    ) -> Any:
        values = iter(_paid(value, attribute))
        for first in values:
            find = key_of(environment, attribute, case_sensitive)
            return choose(chain([first], values), key=find)
        return environment.undefined("No aggregated item, sequence was empty.")

    return run


@pass_environment
def unique(
    environment: Operators,
    value: Any,
    case_sensitive: bool = False,
    attribute: Attribute = None,
) -> Iterator[Any]:
    spend = budget.get()
    values = _paid(value, attribute)
    find = key_of(environment, attribute, case_sensitive)
    seen, colliding = set(), 0
    for item in values:
        key = find(item)
        colliding += may_collide(key)
        spend.work(colliding >> 5)
        if key not in seen:
            seen.add(key)
            yield item


def _paid(value: Any, attribute: Attribute, *options: object) -> Any:
    values = budget.get().listed(value)
    pay_for_values(values, attribute, *options)
    return values
