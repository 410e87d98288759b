"""Parameters that a row may set by columns of its own, where the job file names those columns.

Every key of a section is such a parameter, except `columns`, by which the section names them.
"""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from pipeline.config.section import each_for_itself
from pipeline.errors import RowError, RowErrorCode, shortened

KEY = "columns"
# What a job file may hold. `by_parameter` turns a list into a mapping.
AS_WRITTEN: dict[str, Any] = {
    "anyOf": [
        {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
        {"type": "object", "additionalProperties": {"type": "string"}},
    ]
}
SectionModel = TypeVar("SectionModel", bound=BaseModel)
_KINDS: dict[type, str] = {str: "text", list: "a list", dict: "an object"}


def parameter_names(section: type[BaseModel]) -> list[str]:
    return [name for name in section.model_fields if name != KEY]


def by_parameter(columns: object) -> object:
    """The columns by parameter. A list names columns that are called as their parameters are."""
    return each_for_itself(columns, "a key of this section")


def check_names(columns: Mapping[str, str], section: type[BaseModel]) -> None:
    """ValueError if a name is no parameter of the section."""
    known = parameter_names(section)
    for name in columns:
        if name not in known:
            like = get_close_matches(name, known, n=1)
            hint = f"did you mean {like[0]}?" if like else f"a row may set {', '.join(known)}"
            raise ValueError(f"{name} is no parameter that a row can set; {hint}")


def with_own_values(
    section: SectionModel, columns: Mapping[str, str], record: Mapping[str, Any]
) -> SectionModel:
    """The section with a row's own values in it; null, or no such column, leaves the job's value.

    RowError says which parameter is wrong, from which column, and why. It quotes numbers and no text.
    """
    given = {name: record[column] for name, column in columns.items() if record.get(column) is not None}
    if not given:
        return section
    values = {**section.model_dump(exclude={KEY}), **{name: _whole(value) for name, value in given.items()}}
    try:
        return type(section).model_validate(values, strict=True)
    except ValidationError as error:
        wrong = {str(found["loc"][0]): found["msg"] for found in reversed(error.errors())}
        sentences = [
            _sentence(name, columns[name], wrong[name], given[name]) for name in given if name in wrong
        ]
        raise RowError(RowErrorCode.BAD_PARAMETER, "; ".join(sentences)) from None


def _whole(value: object) -> object:
    """Floats that are whole as integers, which pandas makes floats where a column has nulls."""
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _sentence(name: str, column: str, reason: str, given: object) -> str:
    reason = reason.removeprefix("Value error, ")
    must = reason.replace("Input should", " must", 1) if reason.startswith("Input should") else f": {reason}"
    got = _KINDS.get(type(given)) or shortened(str(given), 30)
    where = f"{name} in column {column!r}" if column != name else f"column {name!r}"
    return f"{where}{must}, got {got}"
