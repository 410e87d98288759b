"""Which columns a template reads, found in its syntax tree: those it cannot do without, and the others.

A template can do without a column that it asks for, by `is defined`, `"x" in row` or `row.get("x")`, or that
stands only behind `default`. `row` is the whole record, so that `row["user text"]` reaches any name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jinja2 import nodes

ROW = "row"
FUNCTIONS = frozenset({"dict", "namespace", "range"})  # jinja's own, which a template may call
_DEFAULT = ("default", "d")
_DEFINED = ("defined", "undefined")
_OF_ALL_COLUMNS = ("items", "keys", "values")  # methods of `row`
_METHODS = ("get", *_OF_ALL_COLUMNS)
_FILTERS_OF_ALL = ("dictsort", "items", "tojson")  # `row | items`


@dataclass(frozen=True)
class TemplateNames:
    needed: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    needed_of_row: frozenset[str] = frozenset()  # through `row`; needless where there is a column `row`
    optional_of_row: frozenset[str] = frozenset()
    row: bool = False  # whether `row` stands for the record
    whole_row: bool = False  # whether all columns are read, by names that only the rows know

    @property
    def read(self) -> frozenset[str]:
        """All columns that are read, as far as the template tells; a column `row` goes before the record."""
        return self.own | self.of_row

    @property
    def content(self) -> frozenset[str]:
        """The same without `row`, where that stands for the record and not for a column."""
        return self.needed | self.optional | self.of_row

    @property
    def own(self) -> frozenset[str]:
        return self.needed | self.optional | ({ROW} if self.row else frozenset())

    @property
    def of_row(self) -> frozenset[str]:
        return self.needed_of_row | self.optional_of_row

    def without(self, names: frozenset[str]) -> "TemplateNames":
        """The same, but for names that stand for no column."""
        return replace(self, needed=self.needed - names, optional=self.optional - names)

    def missing(self, values: Mapping[str, object]) -> list[str]:
        """The names that the template reads and that `values`, which it is rendered with, lack."""
        row = values.get(ROW)
        lacking = (self.needed | self.optional) - values.keys()
        if self.row and isinstance(row, Mapping):
            lacking |= self.of_row - row.keys()
        return sorted(lacking)


@dataclass
class _Uses:
    """How a name is used: by itself, behind `default`, or asked for."""

    plain: set[str] = field(default_factory=set)
    defaulted: set[str] = field(default_factory=set)
    asked: set[str] = field(default_factory=set)

    @property
    def needed(self) -> frozenset[str]:
        return frozenset(self.plain - self.asked)

    @property
    def optional(self) -> frozenset[str]:
        return frozenset(self.asked | self.defaulted) - self.needed


def called_only(tree: nodes.Template) -> frozenset[str]:
    """Of jinja's own functions, those that the template does nothing with but to call them."""
    called = {id(call.node) for call in tree.find_all(nodes.Call)}
    other = {name.name for name in tree.find_all(nodes.Name) if id(name) not in called}
    return FUNCTIONS - other


def names_of(tree: nodes.Template, free: set[str]) -> TemplateNames:
    """`free` are the names that the template does not define itself, as jinja finds them."""
    own, of_row = _Uses(), _Uses()
    stored = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    reader = _Reader(free, of_row, own, row=ROW in free - stored)
    reader.visit(tree, own.plain, of_row.plain)
    return TemplateNames(
        needed=own.needed,
        optional=own.optional,
        needed_of_row=of_row.needed,
        optional_of_row=of_row.optional,
        row=reader.row_used,
        whole_row=reader.whole_row,
    )


class _Reader:
    """Walks the tree and notes each use of a name in the set that fits."""

    def __init__(self, free: set[str], of_row: _Uses, own: _Uses, row: bool) -> None:
        self._free, self._row = free, row
        self._of_row, self._own = of_row, own
        self.row_used = self.whole_row = False

    def visit(self, node: nodes.Node, own: set[str], of_row: set[str]) -> None:
        """`own` and `of_row` take the name if the node itself is one."""
        if isinstance(node, nodes.Name):
            if node.ctx == "load" and node.name in self._free:
                own.add(node.name)
        elif self._row and (key := self._key(node)) is not None:
            of_row.add(key)
            self.row_used = True
        elif self._row and self._reads_all(node):
            self.row_used = self.whole_row = True
            self._visit_children(node, skipped=_inner(node))
        elif self._row and (asked := self._asked_of_row(node)) is not None:
            self._of_row.asked.add(asked)
            self.row_used = True
            if isinstance(node, nodes.Call):
                for argument in node.args[1:]:
                    self.visit(argument, self._own.plain, self._of_row.plain)
        elif isinstance(node, nodes.Filter) and node.name in _DEFAULT and node.node is not None:
            self.visit(node.node, self._own.defaulted, self._of_row.defaulted)
            self._visit_children(node, skipped=node.node)
        elif isinstance(node, nodes.Test) and node.name in _DEFINED:
            self.visit(node.node, self._own.asked, self._of_row.asked)
            self._visit_children(node, skipped=node.node)
        else:
            self._visit_children(node)

    def _visit_children(self, node: nodes.Node, skipped: Any = None) -> None:
        for child in node.iter_child_nodes():
            if child is not skipped:
                self.visit(child, self._own.plain, self._of_row.plain)

    def _key(self, node: nodes.Node) -> str | None:
        """`row["x"]` and `row.x`: x."""
        if isinstance(node, nodes.Getitem) and _is_row(node.node):
            return _text(node.arg)
        if (
            isinstance(node, nodes.Getattr)
            and _is_row(node.node)
            and node.attr not in (*_OF_ALL_COLUMNS, "get")
        ):
            return node.attr
        return None

    def _asked_of_row(self, node: nodes.Node) -> str | None:
        """`row.get("x")` and `"x" in row`: x."""
        if isinstance(node, nodes.Call) and _method(node) == "get":
            return _text(node.args[0]) if node.args else None
        if isinstance(node, nodes.Compare) and len(node.ops) == 1:
            [operand] = node.ops
            if operand.op in ("in", "notin") and _is_row(operand.expr):
                return _text(node.expr)
        return None

    def _reads_all(self, node: nodes.Node) -> bool:
        """`row.items()`, `row | tojson`, `row[key]`, `row.get(key)`."""
        if isinstance(node, nodes.Filter):
            return node.name in _FILTERS_OF_ALL and _is_row(node.node)
        if isinstance(node, nodes.Getitem):
            return _is_row(node.node)
        if isinstance(node, nodes.Call) and (method := _method(node)):
            return method in _OF_ALL_COLUMNS or (bool(node.args) and _text(node.args[0]) is None)
        return False


def _inner(node: Any) -> nodes.Node:
    inner: nodes.Node = node.node
    return inner


def _is_row(node: nodes.Node | None) -> bool:
    return isinstance(node, nodes.Name) and node.name == ROW


def _method(call: nodes.Call) -> str | None:
    """Of a call of one of `row`'s methods, its name."""
    called = call.node
    if not isinstance(called, nodes.Getattr) or not _is_row(called.node):
        return None
    return called.attr if called.attr in _METHODS else None


def _text(node: nodes.Node) -> str | None:
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) else None
