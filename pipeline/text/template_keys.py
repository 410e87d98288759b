"""What filters look up in each value of a list: attributes and keys, which are paid for.

jinja's filters take an attribute as `"a.b.0"`, and `sort` several, `"a,b"`; they split it anew at each call.
They compare texts in lower case, of which each value's is another text in memory.
"""

from collections.abc import Callable
from typing import Any

from jinja2.filters import make_attrgetter, make_multi_attrgetter

from pipeline.text.template_budget import PLACE, budget
from pipeline.text.template_operators import Operators

Attribute = str | int | None
KeyOf = Callable[[Any], Any]
_STEPS = 6  # for each value, on which a function of Python's is called


def pay_for_values(values: Any, attribute: Attribute = None, *options: object) -> None:
    """For all values at once, and for what the filter is given besides.

    TypeError for an attribute of another kind: a tuple of tuples would be hashed for each value.
    """
    spend = budget.get()
    for option in (attribute, *options):
        spend.weigh(option)
    if not isinstance(attribute, str | int | None):
        raise TypeError("an attribute must be a text or a number")
    steps = _STEPS
    if isinstance(attribute, str):
        parts = 1 + attribute.count(".") + attribute.count(",")
        spend.work(parts + (len(attribute) >> 4))  # a part of digits becomes a number
        spend.keep(PLACE * parts + 4 * len(attribute))
        steps += parts - 1
    count = len(values) if hasattr(values, "__len__") else 1
    spend.work(steps * count)
    spend.keep(PLACE * count)


def key_of(
    environment: Operators, attribute: Attribute, case_sensitive: bool = True, default: Any = None
) -> KeyOf:
    """What finds a value's key, and pays for comparing it."""
    return make_attrgetter(environment, attribute, _finish(case_sensitive), default)


def keys_of(environment: Operators, attribute: Attribute, case_sensitive: bool) -> KeyOf:
    """The same for several attributes, with a comma between them."""
    return make_multi_attrgetter(environment, attribute, _finish(case_sensitive))


def compared(key: Any) -> Any:
    budget.get().weigh(key)
    return key


def compared_in_lower_case(key: Any) -> Any:
    spend = budget.get()
    spend.weigh(key)
    if not isinstance(key, str):
        return key
    spend.keep_text(len(key), like=key)
    spend.work(len(key) >> 5)
    made = key.lower()
    spend.keep_longer(made, than=key)
    return made


def _finish(case_sensitive: bool) -> KeyOf:
    return compared if case_sensitive else compared_in_lower_case
