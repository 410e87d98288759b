"""What is wrong with a job file, as sentences that name the key, what was given and what is allowed."""

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.config.job_yaml import no_text
from pipeline.errors import ConfigError
from pipeline.storage.credentials import is_refusal, redact_value

NOT_BUILT = {"score", "classify", "tag", "answer", "embed", "nf4", "int4", "fp8"}
# pydantic names the branch of a union among the keys that lead to an error.
_AUTO = "literal['auto']"
_OF_UNIONS = ("constrained-int", "int", "bool", _AUTO)
_WRONG_KINDS = ("int_parsing", "int_type", "int_from_float", "bool_parsing", "bool_type")
_KEY_ITSELF = "[key]"
_OF_MAPPING = "function-after["  # a mapping that is checked as a whole


def config_error(path: object, model: type[BaseModel], error: ValidationError) -> ConfigError:
    """One sentence for each fault that pydantic found; each quotes at most the value of its own key."""
    found = _of_the_given_kind(_without_branches(error.errors()))
    sentences = dict.fromkeys(_sentence(model, one) for one in found)
    return ConfigError(f"{redact_value(str(path))}: " + "; ".join(sentences))


def _of_the_given_kind(errors: Iterable[Any]) -> Iterator[Any]:
    """Of a key that takes a mapping or something else, what is wrong with the kind that was given."""
    found = list(errors)
    mappings = [error for error in found if _takes_mapping(error)]
    # What is wrong within a mapping tells that one was given.
    given = {_union(one) for one in mappings if isinstance(one["input"], dict) or _union(one) != _keys(one)}
    unions = {*map(_union, mappings)}
    for error in found:
        if _union(error) not in unions or _takes_mapping(error) == (_union(error) in given):
            yield error


def _keys(error: Mapping[str, Any]) -> tuple[str, ...]:
    return _plain(error["loc"])


def _union(error: Mapping[str, Any]) -> tuple[str, ...]:
    """The key whose value may be a mapping, if what is wrong is wrong with a mapping."""
    return _plain(takewhile(lambda part: not str(part).startswith(_OF_MAPPING), error["loc"]))


def _plain(loc: Iterable[Any]) -> tuple[str, ...]:
    others = (*_OF_UNIONS, _KEY_ITSELF)
    return tuple(str(part) for part in loc if part not in others and not str(part).startswith(_OF_MAPPING))


def _takes_mapping(error: Mapping[str, Any]) -> bool:
    return any(str(part).startswith(_OF_MAPPING) for part in error["loc"])


def _without_branches(errors: Sequence[Any]) -> Iterator[Any]:
    """Of a key that takes a number or `auto`, one error in place of one for each of the two."""
    not_auto = {error["loc"][:-1] for error in errors if error["loc"][-1:] == (_AUTO,)}
    for error in errors:
        if error["loc"][:-1] not in not_auto or not error["loc"]:
            yield error
        elif error["type"] in _WRONG_KINDS:
            yield {**error, "msg": error["msg"].partition(",")[0] + " or 'auto'"}
        elif error["loc"][-1] != _AUTO:
            yield error


def yaml_location(error: Exception) -> str:
    """Where the YAML goes wrong, without the line itself, which PyYAML would quote."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return ""
    return f": line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}: {error.problem}"


def _sentence(model: type[BaseModel], error: Mapping[str, Any] | Any) -> str:
    given = redact_value(error["input"]) if isinstance(error["input"], str) else error["input"]
    keys = _keys(error)
    what = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        what = "unknown key" + _did_you_mean(model, keys)
    elif error["type"] == "literal_error" and isinstance(given, str) and (like := _like(given, error)):
        what = f"{what}, got {given!r}; did you mean {like}?"
    elif error["type"] == "string_type":
        what = f"must be text, {no_text(given)}"
    elif isinstance(given, str) and given in NOT_BUILT:
        what = f"{given} is not built yet; {what[0].lower()}{what[1:]}"
    elif isinstance(given, str | int | float | None) and error["type"] != "missing" and not is_refusal(what):
        what = f"{what}, got {given!r}"
    return f"{redact_value('.'.join(keys))}: {what}" if keys else what


def _like(given: str, error: Mapping[str, Any] | Any) -> str | None:
    """The closest of the values that are allowed, unless what was given is to come."""
    allowed = re.findall(r"'([^']*)'", error["ctx"]["expected"])
    return (
        next(iter(difflib.get_close_matches(given, allowed, n=1)), None) if given not in NOT_BUILT else None
    )


def _did_you_mean(model: type[BaseModel], keys: Sequence[str]) -> str:
    """The closest key of the same section; or the section that has a key of this name."""
    *path, key = keys
    section: type[BaseModel] | None = model
    for name in path:
        section = sections_of(section).get(name) if section else None
    if section is None:
        return ""
    close = difflib.get_close_matches(key, section.model_fields, n=1)
    elsewhere = [f"{name}.{key}" for name, other in sections_of(model).items() if key in other.model_fields]
    suggestion = [".".join([*path, close[0]])] if close else elsewhere
    return f"; did you mean {' or '.join(suggestion)}?" if suggestion else ""


def sections_of(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """The keys of a model whose values are sections themselves, each with its model."""
    found = {}
    for name, field in model.model_fields.items():
        kinds = [field.annotation, *getattr(field.annotation, "__args__", ())]
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found[name] = kind
    return found
