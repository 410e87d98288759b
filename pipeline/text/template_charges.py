"""What a template's syntax tree becomes before it is compiled: one in which everything pays.

Loops, macros and blocks pay for a round by the number of their nodes. What Python would do by itself is done
by `Operators`. Filters, tests, calls and printing pay at their own doors.
"""

from collections.abc import Iterable
from typing import Any

from jinja2 import nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.visitor import NodeTransformer

_ROUND = 8  # steps of a loop's round or a macro's call, besides those of its nodes
_FILTER = 8  # steps of a filter or test, besides those for what it is given
_DEFINITION = 16  # steps, which stand for the memory of a macro
_SHORT = 256  # characters of a text that any other may be compared with at once
_MAKE_NUMBERS = frozenset({"count", "length", "wordcount"})


class Charged(NodeTransformer):
    def __init__(self, tree: nodes.Template) -> None:
        self._names = sum(1 for _ in tree.find_all((nodes.Name, nodes.Block)))

    def visit_Template(self, node: nodes.Template) -> nodes.Node:
        steps = self._cost(node.body)
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_charge(steps, 1), lineno=1))
        return node

    def visit_For(self, node: nodes.For) -> nodes.Node:
        steps = _ROUND + self._cost(node.body)
        test_steps = _ROUND + self._cost([node.test]) if node.test else 0
        self._charge_body(node, steps)
        if node.test is not None:
            node.test = nodes.And(_charge(test_steps, node.lineno), node.test, lineno=node.lineno)
        return node

    def visit_Macro(self, node: nodes.Macro | nodes.CallBlock) -> nodes.Node:
        return self._charge_body(node, _ROUND + self._cost([*node.body, *node.args, *node.defaults]))

    def visit_CallBlock(self, node: nodes.CallBlock) -> nodes.Node:
        return self.visit_Macro(node)

    def visit_TemplateData(self, node: nodes.TemplateData) -> nodes.Node:
        return nodes.Const(node.data, lineno=node.lineno)  # goes through `finalize`, as values do

    def visit_Neg(self, node: nodes.Neg) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.node, nodes.Const) and type(node.node.value) in (int, float):
            return nodes.Const(-node.node.value, lineno=node.lineno)
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        return _call("concatenate", node.nodes, node.lineno)

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if not isinstance(node.arg, nodes.Slice):
            return node
        bounds = [bound or nodes.Const(None) for bound in (node.arg.start, node.arg.stop, node.arg.step)]
        return _call("cut", [node.node, *bounds], node.lineno)

    def visit_Pair(self, node: nodes.Pair) -> nodes.Node:
        self.generic_visit(node)
        node.key = _weighed(node.key)
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        [first, *others] = node.ops
        if first.op in ("in", "notin") and not others:
            if _are_short(first.expr):
                return node
            found = _call("contains", [node.expr, first.expr], node.lineno)
            return found if first.op == "in" else nodes.Not(found, lineno=node.lineno)
        if not others and (_is_short(node.expr) or _is_short(first.expr)):
            return node
        node.expr = _weighed(node.expr)
        for operand in node.ops:
            searched = operand.op in ("in", "notin")
            operand.expr = _weighed(operand.expr, "searched" if searched else "weighed")
        return node

    def _charge_body(self, node: nodes.For | nodes.Macro | nodes.CallBlock, steps: int) -> nodes.Node:
        self.generic_visit(node)
        node.body.insert(0, nodes.ExprStmt(_charge(steps, node.lineno), lineno=node.lineno))
        return node

    def _cost(self, parts: Iterable[nodes.Node]) -> int:
        """Steps of what is done once, whatever is: of branches that of the dearest."""
        return sum(map(self._cost_of, parts))

    def _cost_of(self, node: nodes.Node) -> int:
        if isinstance(node, nodes.If):
            branches = [node, *node.elif_]
            tests = self._cost(branch.test for branch in branches)
            return 1 + tests + max(map(self._cost, [node.else_, *(branch.body for branch in branches)]))
        if isinstance(node, nodes.For):
            return _DEFINITION + self._cost([node.iter, *node.else_])
        if isinstance(node, nodes.Macro):
            return _DEFINITION
        if isinstance(node, nodes.CallBlock):
            return _DEFINITION + self._cost([node.call])
        if isinstance(node, nodes.Block):
            return self._names + self._cost(node.body)  # a scoped block copies all names
        own = _FILTER if isinstance(node, nodes.Filter | nodes.Test) else 1
        return own + self._cost(node.iter_child_nodes())


class DirectCalls(CodeGenerator):
    """Calls the methods of `Operators` without the sandbox's checks; templates can't name them."""

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        if not isinstance(node.node, nodes.EnvironmentAttribute):
            super().visit_Call(node, frame, forward_caller=forward_caller)
            return
        self.visit(node.node, frame)
        self.write("(")
        for arg in node.args:
            self.visit(arg, frame)
            self.write(", ")
        self.write(")")


def _weighed(node: nodes.Expr, method: str = "weighed") -> nodes.Expr:
    return node if _is_short(node) else _call(method, [node], node.lineno)


def _is_short(node: nodes.Expr) -> bool:
    """Whether a value compares with any other one in no time."""
    if isinstance(node, nodes.Const):
        return not isinstance(node.value, str) or len(node.value) <= _SHORT
    if isinstance(node, nodes.Filter):
        return node.name in _MAKE_NUMBERS
    return isinstance(node, nodes.Compare | nodes.Test | nodes.Not | nodes.Mod)


def _are_short(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.List | nodes.Tuple) and all(map(_is_short, node.items))


def _charge(steps: int, line: int) -> nodes.Expr:
    return _call("charge", [nodes.Const(steps)], line)


def _call(method: str, args: list[Any], line: int) -> nodes.Call:
    return nodes.Call(nodes.EnvironmentAttribute(method), args, [], None, None, lineno=line)
