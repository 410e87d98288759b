"""What `input.keep` and `input.keep_types` may hold: which columns the output gets, and in which types."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

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


def _with_paired_brackets(name: str) -> str:
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
    Field(pattern=r"^(list<){0,8}(string|int64|float64|bool)>{0,8}$"),
    AfterValidator(_with_paired_brackets),
]
