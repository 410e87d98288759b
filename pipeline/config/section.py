"""What all sections of the job file have in common: their base class, and the types of their keys.

Every key has a description, from which `docs/job-file.md` and the JSON Schema are made.
"""

from collections.abc import Iterable
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from pipeline.config.job_yaml import no_text
from pipeline.errors import ConfigError
from pipeline.storage.credentials import without_credentials

Auto = Literal["auto"]
PositiveInt = Annotated[int, Field(gt=0)]


def _a_place(path: str) -> str:
    """ValueError for what names no file or folder: empty, it would be whatever folder a command runs in."""
    if not path.strip():
        raise ValueError("is empty: name a file or folder")
    if "\0" in path:
        raise ValueError("holds a NUL character, which no path can have")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ValueError("is not UTF-8, as the paths of a job must be: rename the folder") from None
    return path


Location = Annotated[str, AfterValidator(_a_place), AfterValidator(without_credentials)]


def location(path: str, key: str) -> str:
    """A `Location` that is no key of a job file; ConfigError, which calls it `key`, if it is none."""
    try:
        return without_credentials(_a_place(path))
    except ValueError as error:
        raise ConfigError(f"{key}: {error}") from None


def is_url(path: str) -> bool:
    """Whether a `Location` is elsewhere than in a folder of this machine."""
    return "://" in path and not path.startswith("file://")


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_flag_for_a_number(cls, value: Any, info: ValidationInfo) -> Any:
        kinds = _kinds(cls.model_fields[info.field_name or ""].annotation)
        if bool not in kinds and kinds & {int, float} and any(isinstance(one, bool) for one in _each(value)):
            raise ValueError("must be a number, not true or false")
        return value


def _each(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else [value]


def _kinds(annotation: Any) -> set[Any]:
    """The types that an annotation is made of."""
    return {annotation}.union(*map(_kinds, get_args(annotation)))


def as_list(value: object) -> object:
    """For a key that takes one text or a list of them."""
    return value if isinstance(value, list | tuple | dict | None) else [value]


def each_for_itself(names: object, what: str) -> object:
    """For a key that takes a mapping, or a list of names that each stand for themselves."""
    if not isinstance(names, list):
        return names
    for name in names:
        if not isinstance(name, str):
            raise ValueError(f"each must be the name of {what}, {no_text(name)}")
    return {name: name for name in distinct(names)}


def distinct(values: list[str]) -> list[str]:
    doubled = sorted({value for value in values if values.count(value) > 1})
    if doubled:
        raise ValueError(f"{', '.join(doubled)} is named twice")
    return values
