"""Tells what a template's author wrote from what a row's values hold, in the text that it renders.

The author's own text may hold control tokens. Every other expression that the template prints is rewritten to
mark what it prints: see `Tokenizer.mark`.

    {{ text }}                 the row's
    </s>  {{ "</s>" }}         the author's
    {{ "Q: " ~ text }}         the author's, then the row's
    {% set end = "</s>" %}     the author's, wherever `end` is printed
"""

from jinja2 import nodes
from jinja2.visitor import NodeTransformer


class MarkedOutput(NodeTransformer):
    """Wraps printed expressions in calls of the environment's method `marked`."""

    def __init__(self, tree: nodes.Template) -> None:
        self._authors = _names_of_the_author(tree)

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        node.nodes = [self._printed(part) for part in node.nodes]
        return node

    def _printed(self, part: nodes.Expr) -> nodes.Expr:
        if isinstance(part, nodes.TemplateData) or _is_authors(part, self._authors):
            return part
        if isinstance(part, nodes.Concat):
            part.nodes = [self._printed(inner) for inner in part.nodes]
            return part
        if isinstance(part, nodes.CondExpr):
            part.expr1 = self._printed(part.expr1)
            part.expr2 = self._printed(part.expr2) if part.expr2 is not None else None
            return part
        if isinstance(part, nodes.Add) and _joins_text(part):
            part.left, part.right = self._printed(part.left), self._printed(part.right)
            return part
        return nodes.Call(nodes.EnvironmentAttribute("marked"), [part], [], None, None, lineno=part.lineno)


def _joins_text(sum_: nodes.Add) -> bool:
    """Whether `+` has a literal text on one side, so that the other side must be text as well."""
    sides = (sum_.left, sum_.right)
    return any(
        (isinstance(side, nodes.Const) and isinstance(side.value, str))
        or (isinstance(side, nodes.Add) and _joins_text(side))
        for side in sides
    )


def _names_of_the_author(tree: nodes.Template) -> frozenset[str]:
    """Names that stand for nothing but the author's text, or for text that is marked already."""
    macros = {macro.name for macro in tree.find_all(nodes.Macro)}
    blocks = [block.target for block in tree.find_all(nodes.AssignBlock)]
    captured = {target.name for target in blocks if isinstance(target, nodes.Name)}
    bound = _bound_elsewhere(tree)
    names: frozenset[str] = frozenset()
    assigned = [
        (node.target.name, node.node)
        for node in tree.find_all(nodes.Assign)
        if isinstance(node.target, nodes.Name)
    ]
    while True:
        others = {name for name, value in assigned if not _is_authors(value, names)}
        more = frozenset((macros | captured | {name for name, _ in assigned}) - others - bound)
        if more == names:
            return names
        names = more


def _bound_elsewhere(tree: nodes.Template) -> set[str]:
    """Names that loops and macros bind: they stand for values."""
    targets = [loop.target for loop in tree.find_all(nodes.For)]
    found = {name.name for target in targets for name in _names(target)}
    return found | {arg.name for macro in tree.find_all(nodes.Macro) for arg in macro.args}


def _is_authors(expression: nodes.Node, names: frozenset[str]) -> bool:
    """Whether the expression is made of literals and of the author's names alone."""
    if isinstance(expression, nodes.Call) and isinstance(expression.node, nodes.Name):
        return expression.node.name in names  # a macro marks what it prints
    return all(name.name in names for name in _names(expression))


def _names(expression: nodes.Node) -> list[nodes.Name]:
    return [expression] if isinstance(expression, nodes.Name) else [*expression.find_all(nodes.Name)]
