"""The YAML of job files: what PyYAML reads as something else than people wrote is refused or marked.

YAML 1.1 has numbers that no one writes on purpose: `010` is 8, and `12:30` is 750. They are errors, as is a
key that stands twice in one mapping, of which PyYAML takes the last. `1_000` and `0x10` are numbers where
numbers belong; they are marked as `Respelled`, so that a label of that spelling becomes no other text.

What a file may stand for is bounded: nesting, and the values that aliases (`*name`) repeat.
"""

import datetime
import re
from itertools import chain
from typing import Any

import yaml

from pipeline.errors import shortened
from pipeline.storage.credentials import redact

_OCTAL = re.compile(r"[-+]?0[0-7_]+")
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")

_MOST_LEVELS = 100
_MOST_REPEATED = 1 << 20  # characters, and values, that a file with aliases may stand for
_TOO_DEEP = f"nested more than {_MOST_LEVELS} levels deep"
_TOO_MANY = f"its aliases (*name) repeat more than {_MOST_REPEATED:,} values: write fewer"


class Respelled(int):
    """An integer that Python spells otherwise than the job file does."""

    written: str


class MisreadError(yaml.MarkedYAMLError):
    """Valid YAML, but hardly what its author meant; `problem` says what to do."""


class _JobLoader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._extents: dict[yaml.Node, tuple[int, int]] = {}  # size and levels of each node, aliases unfolded

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """The next node; MisreadError if it is nested too deep, or if its aliases repeat too much."""
        is_alias = self.check_event(yaml.AliasEvent)
        mark = self.current_event.start_mark  # check_event looked at it
        self._require(self._level < _MOST_LEVELS, mark, _TOO_DEEP)
        self._level += 1
        node = super().compose_node(parent, index)
        assert node is not None
        self._level -= 1
        if not is_alias:
            self._extents[node] = self._extent(node)
        self._require(node in self._extents, mark, "an alias (*name) within what it stands for")
        size, levels = self._extents[node]
        self._require(self._level + levels <= _MOST_LEVELS, mark, _TOO_DEEP)
        self._require(not self.anchors or size <= _MOST_REPEATED, mark, _TOO_MANY)
        return node

    def _extent(self, node: yaml.Node) -> tuple[int, int]:
        if isinstance(node, yaml.ScalarNode):
            return 1 + len(node.value), 1
        parts = chain.from_iterable(node.value) if isinstance(node, yaml.MappingNode) else node.value
        sizes, levels = zip((1, 0), *(self._extents[part] for part in parts), strict=True)
        return sum(sizes), 1 + max(levels)

    def _require(self, fine: bool, mark: Any, problem: str) -> None:
        if not fine:
            raise MisreadError(problem=problem, problem_mark=mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError):  # as of a date in month 13, or a number of 5,000 digits
            problem = "no date, time or number that there is: put it in quotes if it is text"
            raise MisreadError(problem=problem, problem_mark=node.start_mark) from None

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
