"""Templates in which single braces stand around a column's name, as in other template languages."""

import re
from collections.abc import Collection
from typing import NoReturn

from pipeline.errors import ConfigError, shortened

_SINGLE_BRACES = re.compile(r"(?<!\{)\{\s*([^{}%#\n]+?)\s*\}(?!\})")


def braces_of_columns(template: str, columns: Collection[str]) -> list[str]:
    """The columns whose names stand between single braces."""
    return [name for name in dict.fromkeys(_SINGLE_BRACES.findall(template)) if name in columns]


def require_variable(template: str, columns: Collection[str]) -> NoReturn:
    """ConfigError that says how to write one, for a template that has none."""
    [name, *_] = [*braces_of_columns(template, columns), *columns, "column"]
    slip = f", not {{{name}}}" if name in braces_of_columns(template, columns) else ""
    written = f"{{{{ {name} }}}}" if name.isidentifier() else f'{{{{ row["{shortened(name)}"] }}}}'
    raise ConfigError(
        "input.prompt.template: it names no column, so all rows would get the same prompt: "
        f"write {written}{slip} where the row's text belongs"
    )
