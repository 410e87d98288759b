"""The tests of all templates (`is string`); those that look at more than a value's kind pay for it."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from jinja2 import Undefined, pass_environment
from jinja2.tests import TESTS

from pipeline.text.template_budget import OverBudget, budget
from pipeline.text.template_methods import words
from pipeline.text.template_operators import Operators

Test = Callable[..., Any]
_COMPARING = words("== eq equalto != ne > gt greaterthan ge >= < lt lessthan <= le filter test")
_OF_TEXT = words("lower upper")
_OF_NUMBERS = words("odd even divisibleby")


def tests() -> dict[str, Test]:
    own: dict[str, Any] = dict(TESTS)
    found: dict[str, Test] = {name: _paying(own[name]) for name in _COMPARING}
    found |= {name: _of_text(own[name]) for name in _OF_TEXT}
    found |= {name: _of_numbers(own[name], name) for name in _OF_NUMBERS}
    return own | found | {"in": is_in}


def _paying(test: Test) -> Test:
    @wraps(test)
    def run(*args: Any) -> Any:
        for value in args:
            budget.get().weigh(value)
        return test(*args)

    return run


def _of_text(test: Test) -> Test:
    @wraps(test)
    def run(value: Any) -> Any:
        return test(budget.get().as_text(value))

    return run


def _of_numbers(test: Test, name: str) -> Test:
    """`'%999999999d' is odd` would make a text of a gigabyte."""

    @wraps(test)
    def run(*args: Any) -> Any:
        if not all(isinstance(value, int | float | Undefined) for value in args):
            raise OverBudget(f"{name} is for numbers")
        return test(*args)

    return run


@pass_environment
def is_in(environment: Operators, value: Any, container: Any) -> bool:
    return environment.contains(value, container)
