"""What a job file may write where choices stand, and what becomes of it."""

from collections.abc import Mapping
from typing import Any

from pipeline.config.job_yaml import no_text
from pipeline.config.section import Section

_TEXT: dict[str, Any] = {"type": ["string", "integer"]}
_ITEM: dict[str, Any] = {
    "type": "object",
    "properties": {"value": _TEXT, "description": {"type": "string"}},
    "required": ["value"],
    "additionalProperties": False,
}
_DESCRIBED = {"anyOf": [_TEXT, _ITEM]}


def as_written(described: bool = False) -> dict[str, Any]:
    """The JSON Schema: a list of texts, or a mapping of names to texts; `described`: or items with both."""
    one = _DESCRIBED if described else _TEXT
    return {
        "anyOf": [
            {"type": "array", "items": one, "minItems": 2, "uniqueItems": True},
            {"type": "object", "additionalProperties": one, "minProperties": 2},
        ]
    }


_TRUTHS = dict.fromkeys(("true", "yes", "on"), "true") | dict.fromkeys(("false", "no", "off"), "false")


class Choice(Section):
    """One choice of a question: the text by which the model says it, and what it means."""

    value: str
    description: str | None = None


def named_texts(choices: list[Any] | dict[Any, Any]) -> dict[str, str]:
    """The text of each choice by its name; in a list a text is its own name. ValueError if two are one."""
    names = [choice_text(name) for name in choices]
    if len(set(names)) != len(names):
        raise ValueError(f"choices must differ from each other, got {names}")
    texts = map(choice_text, choices.values()) if isinstance(choices, dict) else names
    return dict(zip(names, texts, strict=True))


def named_choices(choices: list[Any] | dict[Any, Any]) -> dict[str, Any]:
    """The same for choices that may be items `{value, description}`."""
    if isinstance(choices, dict):
        items = [(choice_text(name), _item(item)) for name, item in choices.items()]
    else:
        items = [(item["value"], item) for item in map(_item, choices)]
    named = named_texts([name for name, _ in items])
    return dict(zip(named, (item for _, item in items), strict=True))


def by_truth(choices: dict[Any, Any]) -> dict[Any, Any]:
    """A predicate's choices, "true" before "false".

    Names may be all that YAML reads as booleans, in quotes too. ValueError if two of them mean the same.
    """
    found: dict[Any, Any] = {}
    for name, choice in choices.items():
        meant = _TRUTHS.get(str(name).lower(), name)
        if meant in found:
            raise ValueError(f"choices of a predicate: {meant} stands twice here: remove one")
        found[meant] = choice
    return dict(sorted(found.items(), key=lambda one: one[0] != "true"))


def require_different(texts: Mapping[str, str]) -> None:
    """ValueError if there is but one choice, or two that a model could not tell apart."""
    if len(texts) < 2:
        raise ValueError(f"choices must be at least two, got {list(texts)}")
    if len(set(texts.values())) != len(texts):
        raise ValueError("two choices have the same text, so no model could tell them apart")


def choice_text(choice: object) -> str:
    """A name or a text of a choice; integers are taken as they were written. ValueError for all else."""
    if isinstance(choice, str):
        return choice
    if type(choice) is not int:
        raise ValueError(f"each choice must be text, {no_text(choice)}")
    return str(choice)


def _item(item: object) -> dict[str, Any]:
    if isinstance(item, Choice):
        return {"value": item.value, "description": item.description}
    if not isinstance(item, dict):
        return {"value": choice_text(item)}
    if "value" not in item:
        raise ValueError("an item of choices is {value: ..., description: ...}, and one lacks its value")
    return {**item, "value": choice_text(item["value"])}
