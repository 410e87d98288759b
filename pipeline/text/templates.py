"""Jinja templates from job files and checkpoints: compiled once, rendered for each row, within bounds."""

import signal
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count
from typing import Any

from jinja2 import Undefined, nodes
from jinja2.exceptions import SecurityError

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.missing_names import MissingNameError, NamedUndefined, written_paths
from pipeline.text.rendering_apart import elsewhere
from pipeline.text.template_budget import MAX_CHARACTERS, Budget, OverBudget, budget
from pipeline.text.template_compiling import on_own_stack
from pipeline.text.template_limits import check_tree, free_names
from pipeline.text.template_names import FUNCTIONS, called_only, names_of
from pipeline.text.template_sandbox import Sandbox
from pipeline.text.template_values import MisuseError

KERNEL_SECONDS = 60.0  # of this process's time; then SIGVTALRM ends it, whatever a template does
_KEYS = count()


class BoundedTemplate:
    """A compiled template.

    where        what to call it in error messages
    print_nulls  print null as None, as jinja2 does; else a printed null is RowError(NULL_PROMPT)
    functions    what it may call, besides range, dict and namespace
    filters      further filters
    undefined    what a missing name is; with any other than NamedUndefined, none is called a missing column
    options      of jinja2's Environment
    names        what it takes from the values of `render`
    columns      the same names, in one set
    literals     the texts that its author wrote
    """

    def __init__(
        self,
        source: str,
        where: str,
        print_nulls: bool = False,
        functions: Mapping[str, Callable[..., Any]] | None = None,
        filters: Mapping[str, Callable[..., Any]] | None = None,
        undefined: type[Undefined] = NamedUndefined,
        **options: Any,
    ) -> None:
        given = {"source": source, "where": where, "print_nulls": print_nulls, "functions": functions}
        self._made_of = BoundedTemplate, {**given, "filters": filters, "undefined": undefined, **options}
        self._where, self._key = where, next(_KEYS)
        self._sandbox = Sandbox(print_nulls, undefined, **options)
        self._sandbox.add_filters(filters or {})
        self._template: Any = None
        process = elsewhere()
        if process:  # it compiles before this one parses, which it does to know the names
            process.compile(self._key, self._made_of, where)
        self._tree = on_own_stack(partial(self._parsed, source, functions or {}), where)
        if not process:
            self._compile()

    def _parsed(self, source: str, functions: Mapping[str, Callable[..., Any]]) -> nodes.Template:
        tree = self._sandbox.parse(source)
        check_tree(tree)
        # a name that is more than called is a value's, even if jinja has a function of that name
        for name in FUNCTIONS - called_only(tree):
            del self._sandbox.globals[name]
        self._sandbox.globals.update(functions)
        self.names = names_of(tree, free_names(tree))
        self.columns = self.names.read
        self._paths = written_paths(tree)
        self.literals = frozenset(_literals(tree))
        return tree

    def _compile(self) -> None:
        self._template = on_own_stack(partial(self._sandbox.compiled, self._tree), self._where)

    def render(self, values: Mapping[str, object]) -> str:
        """The text; RowError(TEMPLATE_FAILED) if it goes wrong. No message quotes the values."""
        if process := elsewhere():
            return process.render(self._key, self._made_of, values, self._where)
        if self._template is None:
            self._compile()
        token = budget.set(Budget())
        signal.setitimer(signal.ITIMER_VIRTUAL, KERNEL_SECONDS)
        try:
            text: str = self._template.render(values)
        except RowError:
            raise
        except Exception as error:  # a template may fail in any way a program may
            raise self._describe(error, values) from error
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            budget.reset(token)
        if len(text) > MAX_CHARACTERS:
            raise RowError(RowErrorCode.TEMPLATE_FAILED, f"it makes more than {MAX_CHARACTERS} characters")
        return text

    def _describe(self, error: Exception, values: Mapping[str, object]) -> RowError:
        """jinja2's own messages may hold a value (`a[b]` names what b is), so only their type is told."""
        if isinstance(error, MisuseError):
            what = str(error)
        elif isinstance(error, OverBudget):
            what = f"the template was stopped: {error}"
        elif isinstance(error, SecurityError):
            what = "the template uses an attribute or method that templates may not use"
        elif isinstance(error, MissingNameError):
            what = "the template looks for a key that this row does not have"
        else:
            what = f"the template failed with {type(error).__name__}"
        missing = self._missing(error.name, values) if isinstance(error, MissingNameError) else []
        if missing:
            message = f"the template names {', '.join(missing)}, which this row does not have"
            return RowError(RowErrorCode.MISSING_COLUMN, message)
        return RowError(RowErrorCode.TEMPLATE_FAILED, what + _line(error))

    def _missing(self, name: Any, values: Mapping[str, object]) -> list[str]:
        """All columns that a row lacks, if one of them was looked for; else the key that a value lacks."""
        columns = self.names.missing(values)
        if name in columns:
            may_lack = (self.names.optional | self.names.optional_of_row) - {name}
            return [column for column in columns if column not in may_lack]
        return self._paths.get(name, []) if isinstance(name, str | int) else []


def _line(error: Exception) -> str:
    """The template's line that failed: jinja2 makes tracebacks show the template's lines."""
    line = ""
    traceback = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename in ("<template>", "<unknown>"):
            line = f" (its line {traceback.tb_lineno})"
        traceback = traceback.tb_next
    return line


def _literals(tree: nodes.Template) -> Iterator[str]:
    yield from (node.data for node in tree.find_all(nodes.TemplateData))
    yield from (node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str))
