"""Which characters of a text its tokens stand for: tokens are bytes, and a character may take several.

n tokens of a prompt.
"""

from collections.abc import Iterator, Sequence

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.messages import Message
from pipeline.text.prompt_format import PromptFormat
from pipeline.text.tokenization import Tokenizer
from pipeline.text.vocabulary import SPACE

_PROBE = "qprobeq"
_MOST_CUTS = 64  # beginnings of white space of which a template may leave a part
Span = tuple[int, int]  # characters, from and up to


class TextOffsets:
    """The characters of prompts in one format. Control tokens stand for their names."""

    def __init__(self, prompt_format: PromptFormat) -> None:
        self._tokenizer = prompt_format.tokenizer
        self._before = _bytes_before_text(prompt_format)

    def of_prompt(self, token_ids: Sequence[int], text: str | None) -> list[Span]:
        """The characters of the text that each of the prompt's tokens stands for, [n].

        Nothing of tokens around it. Where the prompt was given as token ids, the text is what they decode to.
        RowError if the text is not found among the tokens.
        """
        if text is None:
            return self.of_text(token_ids, self._tokenizer.decode([*token_ids]))
        pieces = _pieces(self._tokenizer, token_ids)
        for written, end, cut, before in self._ways(text):
            spans = _walk(pieces, written[cut:end], before)
            if spans is not None:
                return [(start + cut, stop + cut) for start, stop in spans]
        raise _not_found()

    def of_text(self, token_ids: Sequence[int], text: str) -> list[Span]:
        """The same where nothing stands before the text but, perhaps, the dummy space."""
        pieces = [self._tokenizer.piece_bytes(token_id) for token_id in token_ids]
        for written in _written(text):
            spans = _walk(pieces, written, 0)
            if spans is not None:
                return spans
        raise _not_found()

    def _ways(self, text: str) -> Iterator[tuple[str, int, int, int]]:
        """How the text may stand in a prompt: as what, up to where, from where, behind how many bytes.

        A chat template may take white space away at its ends; less of it at its end needs no way of its own.
        A text that begins with a space may have no dummy space before it; a text may itself begin with what
        the format begins with.
        """
        space = len(text) - len(text.lstrip())
        cuts = dict.fromkeys((0, space, *range(1, min(space, _MOST_CUTS))))
        befores = dict.fromkeys((self._before, max(0, self._before - 1)))
        for end in dict.fromkeys((len(text), len(text.rstrip()))):
            for written in _written(text):
                yield from ((written, end, cut, before) for cut in cuts for before in befores)
                yield written, end, 0, 0


def without_space_around(text: str, span: Span) -> Span:
    """The span without the white space at its ends."""
    start, end = span
    while start < end and text[start].isspace():
        start += 1
    while start < end and text[end - 1].isspace():
        end -= 1
    return start, end


def _written(text: str) -> Iterator[str]:
    """A text, and what it is to a vocabulary that writes spaces as SPACE: there the two are one.

    Both have the same number of characters.
    """
    yield text
    if SPACE in text:
        yield text.replace(SPACE, " ")


def _walk(pieces: Sequence[bytes], text: str, before: int) -> list[Span] | None:
    """Where in the text each piece stands; `before`: bytes that come before it. None: they are not its own.

    A piece may begin with a space that the text does not have: the dummy space of a text of its own.
    """
    wanted = text.encode()
    characters = [number for number, character in enumerate(text) for _ in range(len(character.encode()))]
    spans: list[Span] = []
    at = -before
    for piece in pieces:
        if at < 0:
            piece, at = piece[-at:], min(0, at + len(piece))
        if at < 0 or at == len(wanted) or not piece:
            spans.append((0, 0))
            continue
        if not _agree(wanted, at, piece) and piece.startswith(b" ") and _agree(wanted, at, piece[1:]):
            piece = piece[1:]
        if not _agree(wanted, at, piece):
            return None
        end = min(at + len(piece), len(wanted))
        spans.append((characters[at], characters[end - 1] + 1) if end > at else (0, 0))
        at = end
    return spans if at == len(wanted) else None


def _agree(wanted: bytes, at: int, piece: bytes) -> bool:
    """Whether the text goes on with the piece, which may go on behind the text's end."""
    return piece.startswith(wanted[at : at + len(piece)])


def _bytes_before_text(prompt_format: PromptFormat) -> int:
    """Bytes that the format puts before the text of a prompt's one message, or before its system prompt."""
    if prompt_format.as_given:
        return 0
    try:
        ids = prompt_format.encode([Message("user", (_PROBE,))])
    except RowError:  # a chat template that wants a system prompt: then no prompt of this job has one
        return 0
    return max(0, b"".join(_pieces(prompt_format.tokenizer, ids)).find(_PROBE.encode()))


def _pieces(tokenizer: Tokenizer, token_ids: Sequence[int]) -> list[bytes]:
    """With the names of control tokens, which add nothing to a text."""
    names = {token_id: name.encode() for name, token_id in tokenizer.trusted_tokens.items()}
    return [names.get(token_id) or tokenizer.piece_bytes(token_id) for token_id in token_ids]


def _not_found() -> RowError:
    return RowError(
        RowErrorCode.TEXT_NOT_FOUND,
        "the prompt's tokens do not give its text back, so places in it cannot be told",
    )
