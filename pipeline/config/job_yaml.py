"""The YAML of job files: what PyYAML reads as something else than people wrote is refused or marked.

YAML 1.1 has numbers that no one writes on purpose: `010` is 8, and `12:30` is 750. They are errors, as is a
key that stands twice in one mapping, of which PyYAML takes the last. `1_000` and `0x10` are numbers where
numbers belong; they are marked as `Respelled`, so that a label of that spelling becomes no other text.
"""

import datetime
import re
from typing import Any

import yaml

from pipeline.errors import shortened
from pipeline.storage.urls import redact

_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")


class Respelled(int):
    """An integer that Python spells otherwise than the job file does."""

    written: str


class MisreadError(yaml.MarkedYAMLError):
    """Valid YAML, but hardly what its author meant; `problem` says what to do."""


class _JobLoader(yaml.SafeLoader):
    def construct_int(self, node: yaml.ScalarNode) -> int:
        self._refuse_odd_number(node)
        number = Respelled(self.construct_yaml_int(node))
        number.written = node.value
        return number if str(int(number)) != node.value else int(number)

    def construct_float(self, node: yaml.ScalarNode) -> float:
        self._refuse_odd_number(node)
        return float(self.construct_yaml_float(node))

    def _refuse_odd_number(self, node: yaml.ScalarNode) -> None:
        for pattern, kind in ((_OCTAL, "in base 8"), (_SEXAGESIMAL, "in base 60")):
            if pattern.fullmatch(node.value):
                number = (
                    self.construct_yaml_float(node) if "." in node.value else self.construct_yaml_int(node)
                )
                problem = f"YAML reads {node.value} as the number {number}, {kind}"
                raise MisreadError(
                    problem=f"{problem}: write {number}, or put it in quotes if it is text",
                    problem_mark=node.start_mark,
                )

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            name = "<<" if key.tag.endswith(":merge") else self.construct_object(key)
            if name in seen:
                twice = shortened(redact(key.value))
                raise MisreadError(
                    problem=f"the key {twice} stands twice here: remove one", problem_mark=key.start_mark
                )
            seen.add(name)
        return node


_JobLoader.add_constructor("tag:yaml.org,2002:int", _JobLoader.construct_int)
_JobLoader.add_constructor("tag:yaml.org,2002:float", _JobLoader.construct_float)


def read_yaml(text: str) -> Any:
    """The value of a YAML document; yaml.YAMLError if it is not valid, MisreadError among them."""
    return yaml.load(text, _JobLoader)


def no_text(value: object) -> str:
    """What was given where text belongs, how it came about, and what to do."""
    if isinstance(value, list | dict):
        return f"got a {'list' if isinstance(value, list) else 'mapping'}"
    if value is None:
        return "got null, as YAML reads null, ~ and nothing: put it in quotes"
    what = f"got {value.written if isinstance(value, Respelled) else value}"
    if isinstance(value, bool):
        return f"{what} (YAML reads yes, no, on, off as booleans): put it in quotes"
    if isinstance(value, Respelled):
        return f"{what} (YAML reads it as {int(value)}): put it in quotes"
    if isinstance(value, datetime.date):
        return f"{what} (YAML reads it as a date): put it in quotes"
    return f"{what}: put it in quotes"
