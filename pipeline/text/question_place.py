"""Where a template with questions has its question, found in its syntax tree."""

from dataclasses import dataclass

from jinja2 import nodes

from pipeline.errors import ConfigError
from pipeline.text.missing_names import NamedUndefined
from pipeline.text.row_template import WHERE
from pipeline.text.template_names import FUNCTIONS
from pipeline.text.template_sandbox import Sandbox

QUESTION, OPTIONS = "question", "options"


@dataclass(frozen=True)
class QuestionPlace:
    """What the template reads of a row behind the question, in its order."""

    behind: tuple[str, ...]

    @property
    def doubt(self) -> str | None:
        """What is wrong with the place, if anything is."""
        if not self.behind:
            return None
        names = " and ".join(f"{{{{ {name} }}}}" for name in self.behind)
        return (
            f"the template has {names} behind {{{{ question }}}}, so that this text is computed once for "
            "each question: write the question behind the row's text, which is then computed once a row"
        )


def find_question(source: str) -> QuestionPlace:
    """ConfigError if the template does not hold `{{ question }}` once, or `{{ options }}` before it.

    Or if one of them is part of a block or an expression, so that it may be missing from some rows' prompts.
    """
    tree = Sandbox(False, NamedUndefined, keep_trailing_newline=True).parse(source)
    items = [
        item for node in tree.body for item in (node.nodes if isinstance(node, nodes.Output) else [node])
    ]
    places = _places(items, QUESTION)
    if len(places) != 1:
        found = "never" if not places else f"{len(places)} times"
        raise ConfigError(
            f"{WHERE}: with label.questions it must hold {{{{ question }}}} exactly once, where each "
            f"question belongs; it holds it {found}"
        )
    options = _places(items, OPTIONS)
    if len(options) > 1 or options[:1] < places[: len(options)]:
        raise ConfigError(
            f"{WHERE}: {{{{ options }}}} stands for the choices of a question: it may stand once, behind "
            "{{ question }}"
        )
    for name, place in ((QUESTION, places[0]), *((OPTIONS, place) for place in options)):
        if not isinstance(items[place], nodes.Expr):
            raise ConfigError(
                f"{WHERE}: {{{{ {name} }}}} stands in a block {{% ... %}}, line {items[place].lineno}: "
                "write it outside of blocks, as every question has it"
            )
        if not _stands_alone(items[place]):
            raise ConfigError(
                f"{WHERE}: {{{{ {name} }}}} stands within an expression, line {items[place].lineno}: write "
                f"it by itself or with filters, as in {{{{ {name} | trim }}}}, and anything else beside it"
            )
    behind = nodes.Template(items[places[0] + 1 :])
    own = {name.name for name in behind.find_all(nodes.Name) if name.ctx != "load"}
    read = dict.fromkeys(name.name for name in behind.find_all(nodes.Name) if name.ctx == "load")
    return QuestionPlace(tuple(name for name in read if name not in {*own, *FUNCTIONS, QUESTION, OPTIONS}))


def _stands_alone(item: nodes.Node) -> bool:
    """Whether it is a name, or filters over one, and reads no other name."""
    names = len([*item.find_all(nodes.Name)])
    while isinstance(item, nodes.Filter) and item.node is not None:
        item = item.node
        names -= isinstance(item, nodes.Name)
    return isinstance(item, nodes.Name) and names == 0


def _places(items: list[nodes.Node], name: str) -> list[int]:
    """Of which of the items the name is a part, as often as it is."""
    return [
        place
        for place, item in enumerate(items)
        for found in [*([item] if isinstance(item, nodes.Name) else []), *item.find_all(nodes.Name)]
        if found.name == name
    ]
