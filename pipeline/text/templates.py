"""Jinja templates from job files and checkpoints: compiled once, rendered for each row, within bounds."""

from collections.abc import Callable, Iterator, Mapping
from itertools import count
from typing import Any

from jinja2 import TemplateSyntaxError, Undefined, nodes
from jinja2.exceptions import SecurityError, TemplateError

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.missing_names import MissingNameError, NamedUndefined, written_paths
from pipeline.text.rendering_apart import elsewhere
from pipeline.text.template_budget import MAX_CHARACTERS, Budget, OverBudget, budget
from pipeline.text.template_limits import check_tree, free_names
from pipeline.text.template_names import FUNCTIONS, called_only, names_of
from pipeline.text.template_sandbox import Sandbox
from pipeline.text.template_values import MisuseError

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
        if process := elsewhere():
            process.compile(self._key, self._made_of, where)
        sandbox = Sandbox(print_nulls, undefined, **options)
        sandbox.add_filters(filters or {})
        try:
            tree = sandbox.parse(source)
            check_tree(tree)
            # a name that is more than called is a value's, even if jinja has a function of that name
            for name in FUNCTIONS - called_only(tree):
                del sandbox.globals[name]
            sandbox.globals.update(functions or {})
            self.names = names_of(tree, free_names(tree))
            self.columns = self.names.read
            self._paths = written_paths(tree)
            self.literals = frozenset(_literals(tree))
            self._template = sandbox.compiled(tree)
        except TemplateSyntaxError as error:
            raise ConfigError(f"{where}, line {error.lineno}: {error.message}") from error
        except (TemplateError, RecursionError, MemoryError, SyntaxError, ValueError, AssertionError) as error:
            raise ConfigError(f"{where}: not a valid template: {error}") from error

    def render(self, values: Mapping[str, object]) -> str:
        """The text; RowError(TEMPLATE_FAILED) if it goes wrong. No message quotes the values."""
        if process := elsewhere():
            return process.render(self._key, self._made_of, values, self._where)
        token = budget.set(Budget())
        try:
            text: str = self._template.render(values)
        except RowError:
            raise
        except Exception as error:  # a template may fail in any way a program may
            raise self._describe(error, values) from error
        finally:
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
