"""What a template reads and a row lacks, by the words of the template and never by the row's own."""

from collections import defaultdict
from functools import partial
from typing import Any

from jinja2 import StrictUndefined, UndefinedError, nodes
from jinja2.utils import missing


class MissingNameError(UndefinedError):
    """`name` is what could not be found; it may come from the row: `{{ a[b] }}` looks for what b holds."""

    def __init__(self, name: Any, message: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class NamedUndefined(StrictUndefined):
    """Its errors are MissingNameErrors."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: Any = UndefinedError,
    ) -> None:
        named: Any = partial(MissingNameError, name)
        super().__init__(hint, obj, name, named if exc is UndefinedError else exc)


def written_paths(tree: nodes.Template) -> dict[Any, list[str]]:
    """By key: how the template writes that it reads it of a value, `customer.city` for city."""
    paths: dict[Any, set[str]] = defaultdict(set)
    for node in tree.find_all((nodes.Getattr, nodes.Getitem)):
        key = _key(node)
        if key is not None:
            paths[key].add(_written(node))
    return {key: sorted(written) for key, written in paths.items()}


def _key(node: Any) -> str | int | None:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) else None


def _written(node: Any) -> str:
    if isinstance(node, nodes.Name):
        return node.name
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return "(...)"
    key = _key(node)
    written = f".{key}" if isinstance(node, nodes.Getattr) else f"[{'...' if key is None else repr(key)}]"
    return _written(node.node) + written
