"""A template rendered over what rows wrote, so that its author's control tokens are told from theirs.

The template is rendered twice: once as it is, and once with every text of the row marked, so that no token in
it is whole (see `Tokenizer.mark`). Where both give the same text, the marks tell who wrote what. They differ
where a template does more with a text than print it: compares it, measures it, cuts it.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.control_tokens import without_marks
from pipeline.text.tokenization import Tokenizer

Values = TypeVar("Values")


def render_marked(
    tokenizer: Tokenizer, render: Callable[[Values], str], values: Values, marked: Values
) -> str:
    """The text, marked where it is the row's; `marked` are the same values with their texts marked.

    RowError(TEMPLATE_FAILED) if the row holds the text of a token in a place where marks can't tell.
    """
    plain = render(values)
    if marked == values:
        return plain
    text = render(marked)
    if without_marks(text) == plain:
        return text
    if tokenizer.tokens_in(text) == tokenizer.tokens_in(plain):
        return plain  # no text of the row is a token
    raise RowError(
        RowErrorCode.TEMPLATE_FAILED,
        "the row holds the text of a control token, and the template does more with it than print it: take "
        "it out of the row",
    )


def mark_values(value: Any, mark: Callable[[str], str]) -> Any:
    """A value of a row with every text in it marked, the names in objects too."""
    if isinstance(value, str):
        return mark(value)
    if isinstance(value, list | tuple):
        return [mark_values(item, mark) for item in value]
    if isinstance(value, dict):
        return {mark_values(name, mark): mark_values(item, mark) for name, item in value.items()}
    return value
