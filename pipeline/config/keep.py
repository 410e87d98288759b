"""What `input.keep` and `input.keep_types` may hold: which columns the output gets, and in which types."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from pipeline.config.section import each_for_itself

ALL = "*"  # stands for all columns that are not renamed


class AnyName:
    """Holds every name."""

    def __contains__(self, name: object) -> bool:
        return True


# What a job file may hold. Validation turns each form into a mapping of new names to those in the input.
_AS_WRITTEN = {
    "anyOf": [
        {"const": ALL},
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ]
}


def _as_mapping(keep: Any) -> Any:
    if keep == ALL:
        return {ALL: ALL}
    return each_for_itself(keep, "a column")


def _stars_for_itself(keep: dict[str, str]) -> dict[str, str]:
    for new, old in keep.items():
        if (new == ALL) != (old == ALL):
            raise ValueError(f"{new}: {old}: '*' keeps all columns under their own names; write '*': '*'")
    return keep


_TYPE_NAME = r"^(list<){0,8}(string|int64|float64|bool)>{0,8}$"


def _type_name(name: str) -> str:
    if not re.fullmatch(_TYPE_NAME, name):
        raise ValueError(f"must be string, int64, float64, bool or list<...> of one, got {name!r}")
    if name.count("<") != name.count(">"):
        raise ValueError(f"{name}: each list< needs its >")
    return name


Keep = Annotated[
    dict[str, str],
    BeforeValidator(_as_mapping),
    AfterValidator(_stars_for_itself),
    WithJsonSchema(_AS_WRITTEN, mode="validation"),
]
TypeName = Annotated[
    str,
    AfterValidator(_type_name),
    WithJsonSchema({"type": "string", "pattern": _TYPE_NAME}),
]
