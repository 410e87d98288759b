"""Tokens for eyes: each has its border, white space shows, and control tokens are told from text.

    «<s>»│▁[INST│]│▁Which│▁queue│?│↵│

`▁` is a space, `↵` the end of a line; guillemets stand around control and added tokens.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from pipeline.text.tokenization import Tokenizer

BORDER = "│"
_SPACE, _END_OF_LINE = "▁", "↵"
_FIRST, _LAST = 160, 80  # tokens of a long text that are shown
_INDENT = "  "


@dataclass(frozen=True)
class ShownToken:
    text: str
    control: bool = False

    @property
    def marked(self) -> str:
        return f"«{self.text}»" if self.control else self.text


def shown_tokens(token_ids: Iterable[int], tokenizer: Tokenizer | None) -> list[ShownToken]:
    """Without a tokenizer, and where it has no text for a token, the id stands for it."""
    if tokenizer is None:
        return [ShownToken(str(token_id)) for token_id in token_ids]
    named = {*tokenizer.trusted_tokens.values()}
    return [
        ShownToken(visible(tokenizer.piece(token_id)) or f"#{token_id}", token_id in named)
        for token_id in token_ids
    ]


def named_tokens(token_ids: Iterable[int], tokenizer: Tokenizer | None) -> str:
    """Tokens in a sentence, each with its id: `</s> (2), <|im_end|> (32000)`."""
    ids = sorted(token_ids)
    if tokenizer is None:
        return ", ".join(map(str, ids))
    tokens = zip(shown_tokens(ids, tokenizer), ids, strict=True)
    return ", ".join(f"{token.text} ({token_id})" for token, token_id in tokens)


def visible(text: str) -> str:
    """The text with all that a terminal would not show, or obey, written out."""
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    if character == " ":
        return _SPACE
    if character == "\n":
        return _END_OF_LINE
    if character in (BORDER, _SPACE, _END_OF_LINE) or not character.isprintable():
        return character.encode("unicode_escape").decode()
    return character


def bordered(tokens: Sequence[ShownToken], width: int, indent: str = _INDENT) -> Iterator[Text]:
    """Lines of `width` cells at most, unless a token is longer; the text's own lines begin anew.

    Of a long text the beginning and the end are shown.
    """
    left_out = len(tokens) - _FIRST - _LAST
    if left_out <= 0:
        yield from _lines(tokens, width, indent)
        return
    yield from _lines(tokens[:_FIRST], width, indent)
    yield Text(f"{indent}… {left_out:,} tokens more …", "italic")
    yield from _lines(tokens[-_LAST:], width, indent)


def _lines(tokens: Sequence[ShownToken], width: int, indent: str) -> Iterator[Text]:
    line = Text(indent)
    for token in tokens:
        one = Text.assemble((token.marked, "bold cyan" if token.control else ""), (BORDER, "dim"))
        if line.cell_len + one.cell_len > width and line.cell_len > len(indent):
            yield line
            line = Text(indent)
        line.append_text(one)
        if token.text.endswith(_END_OF_LINE) and not token.control:
            yield line
            line = Text(indent)
    if line.cell_len > len(indent):
        yield line
