"""What a template's source may hold at most, so that parsing and compiling it take no more than a moment."""

from collections.abc import Iterator

from jinja2 import TemplateSyntaxError, nodes
from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream
from jinja2.meta import TrackingCodeGenerator

from pipeline.text.template_values import MAX_BITS

MAX_SOURCE = 1_000_000  # characters
MAX_TOKENS = 20_000  # of its code; published ones have up to some thousand
MAX_KEYS = 500  # of an object, that are computed: somebody may choose them to have one hash
MAX_LEVELS = 150  # of expressions and blocks within each other; compiling goes down by recursion
MAX_BLOCKS = 90  # within each other that Python indents; it takes less than a hundred
MAX_LOOPS = 20  # within each other, as in Python


class TokenLimit(Extension):
    """Parsing and compiling take time and memory by a template's tokens, not by its text."""

    def preprocess(self, source: str, name: str | None, filename: str | None = None) -> str:
        if len(source) > MAX_SOURCE:
            raise TemplateSyntaxError(f"a template may have {MAX_SOURCE} characters, got {len(source)}", 1)
        return source

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        for number, token in enumerate(stream):
            if number > MAX_TOKENS:
                raise TemplateSyntaxError(f"a template may have {MAX_TOKENS} tokens up to here", token.lineno)
            yield token


def check_tree(tree: nodes.Template) -> None:
    """TemplateSyntaxError for what no template here may have."""
    for node, blocks, loops in _all_nodes(tree):
        if blocks > MAX_BLOCKS:
            raise TemplateSyntaxError(
                f"more than {MAX_BLOCKS} blocks (if, for, macro, call) stand within each other, and a "
                "recursive loop counts twice",
                node.lineno,
            )
        if loops > MAX_LOOPS:
            raise TemplateSyntaxError(
                f"more than {MAX_LOOPS} loops stand within each other: move some to a macro", node.lineno
            )
        if isinstance(node, nodes.Include | nodes.Import | nodes.FromImport | nodes.Extends):
            raise TemplateSyntaxError("a template cannot load others", node.lineno)
        if isinstance(node, nodes.EvalContextModifier):
            raise TemplateSyntaxError("autoescape is for HTML: remove it", node.lineno)
        if isinstance(node, nodes.Name) and node.name == "self":
            raise TemplateSyntaxError(
                'self is jinja\'s own name; for a column write row["self"]', node.lineno
            )
        if isinstance(node, nodes.Dict):
            computed = sum(not isinstance(pair.key, nodes.Const) for pair in node.items)
            if computed > MAX_KEYS:
                raise TemplateSyntaxError(f"an object has more than {MAX_KEYS} computed keys", node.lineno)
        if isinstance(node, nodes.Const) and type(node.value) is int and node.value.bit_length() > MAX_BITS:
            raise TemplateSyntaxError("a number is too large", node.lineno)


def free_names(tree: nodes.Template) -> set[str]:
    """The names that the template does not define itself, as jinja2's `meta` finds them."""
    assert tree.environment is not None
    generator = TrackingCodeGenerator(tree.environment)
    generator.optimizer = None  # it would compute constants
    generator.visit(tree)
    return generator.undeclared_identifiers


def _all_nodes(tree: nodes.Node) -> Iterator[tuple[nodes.Node, int, int]]:
    """All nodes, each with how many blocks and loops it ends up in.

    Without recursion: a template of 10,000 attributes in a row is parsed by a loop.
    """
    level, depth = [(tree, 0, 0)], 0
    while level:
        depth += 1
        if depth > MAX_LEVELS:
            raise TemplateSyntaxError(f"it nests more than {MAX_LEVELS} deep", level[0][0].lineno or 1)
        yield from level
        level = [
            (child, *_within(child, blocks, loops))
            for node, blocks, loops in level
            for child in node.iter_child_nodes()
        ]


def _within(node: nodes.Node, blocks: int, loops: int) -> tuple[int, int]:
    """How many blocks and loops what stands in the node is in, of the function that jinja makes of it."""
    if isinstance(node, nodes.For):
        return (blocks + 2, 1) if node.recursive else (blocks + 1, loops + 1)
    if isinstance(node, nodes.Macro | nodes.CallBlock):
        return blocks + 1, 0
    if isinstance(node, nodes.Block):
        return 0, 0
    return blocks + isinstance(node, nodes.If), loops
