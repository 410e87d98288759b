"""The template of a job's prompts: its names are a row's columns, and `row` is the whole row."""

from collections.abc import Callable, Mapping
from functools import lru_cache

from pipeline.errors import ConfigError
from pipeline.text.template_budget import MisuseError
from pipeline.text.template_names import ROW, TemplateNames
from pipeline.text.templates import BoundedTemplate

WHERE = "input.prompt.template"


class RowTemplate:
    """ConfigError if the source is no template. `mark` marks what rows wrote, see `Tokenizer.mark`.

    `first_tokens(text, n)` gives the first n tokens of a text, for the filter of that name. Without it the
    template can tell its names, and cannot be rendered if it uses the filter.
    """

    def __init__(
        self,
        source: str,
        first_tokens: Callable[[str, int], str] | None = None,
        mark: Callable[[str], str] | None = None,
    ) -> None:
        self._template = BoundedTemplate(
            source,
            WHERE,
            filters={"first_tokens": _checked(first_tokens)},
            mark=mark,
            keep_trailing_newline=True,
        )

    @property
    def names(self) -> TemplateNames:
        return self._template.names

    def render(self, record: Mapping[str, object]) -> str:
        """The text; RowError if a column is missing or something goes wrong. No message quotes the row."""
        names = self._template.names
        values = {name: record[name] for name in names.own if name in record}
        if names.row and ROW not in values:
            values[ROW] = {
                name: value for name, value in record.items() if names.whole_row or name in names.of_row
            }
        return self._template.render(values)


@lru_cache(maxsize=8)
def read_names(source: str) -> TemplateNames:
    """The columns that a prompt's template reads; ConfigError if it is not a template."""
    return RowTemplate(source).names


def _checked(first_tokens: Callable[[str, int], str] | None) -> Callable[..., str]:
    def run(text: object, count: object) -> str:
        if not isinstance(text, str):
            raise MisuseError("first_tokens is for texts")
        if type(count) is not int or count < 0:
            raise MisuseError("first_tokens takes a number of tokens")
        if first_tokens is None:
            raise ConfigError(f"{WHERE}: first_tokens needs the checkpoint's tokenizer")
        return first_tokens(text, count)

    return run
