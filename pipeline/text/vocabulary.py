"""The contract of vocabularies: the pieces that text is made of, and text to their ids.

Each kind of file has a room of its own: `sentencepiece_vocabulary`, `tokenizers_vocabulary` and
`tekken_vocabulary`. None finds control or added tokens in a text: `pipeline.text.tokenization` does, in
trusted text, before it asks for ids. A row that writes `</s>` or `[INST]` gets the ids of those characters.
"""

import re
from abc import ABC, abstractmethod

from pipeline.errors import RowError, RowErrorCode
from pipeline.text.vocabulary_file import InstructVersion

SPACE = "\u2581"  # how a piece writes a space, where bytes are not written by an alphabet of their own
UNKNOWN_TEXT = " \u2047 "  # what sentencepiece decodes <unk> to
_JOINING = re.compile(rb"\S ")


class Vocabulary(ABC):
    """What all kinds have in common.

    size          ids are in [0, size)
    controls      control tokens that the vocabulary itself names, with their ids
    bos, eos      the vocabulary's own, by text; None where it names none
    unknown       the id of text that no piece can write; None where there is none
    each_alone    text behind a control or added token begins as a text of its own does
    dummy_space   a text that stands alone begins with a space that it does not have
    normalizes_to_space_before   the dummy space comes of a normalizer, so added tokens have one too
    """

    size: int
    controls: dict[str, int]
    bos: str | None
    eos: str | None
    unknown: int | None
    each_alone: bool
    dummy_space: bool
    normalizes_to_space_before = False

    @abstractmethod
    def encode(self, text: str, continues: bool = False) -> list[int]:
        """Ids of a text; none of them is that of a control token.

        `continues`: it stands behind other text, so no dummy space comes in front of it.
        RowError(INVALID_UTF8) for lone surrogates, which have no UTF-8 form.
        """

    @abstractmethod
    def id_of(self, piece: str) -> int | None:
        """The id of the piece of that very text."""

    @abstractmethod
    def piece_bytes(self) -> list[bytes]:
        """The UTF-8 bytes that each id adds to a text; a character may be spread over several ids."""

    @abstractmethod
    def instruct_version(self) -> InstructVersion | None:
        """The one of Mistral's own formats that its control tokens can write, if there is one."""

    def joins_words(self) -> bool:
        """Whether any piece goes on behind a word with a space, so that words change each other's ids."""
        pieces = self.piece_bytes()
        return any(_JOINING.search(piece) for piece in pieces if piece != UNKNOWN_TEXT.encode())


def lone_surrogate() -> RowError:
    return RowError(
        RowErrorCode.INVALID_UTF8,
        "the text holds a lone surrogate (half a UTF-16 pair), which UTF-8 cannot write",
    )
