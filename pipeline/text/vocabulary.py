"""The pieces of a vocabulary, and text to their ids: by sentencepiece or by the `tokenizers` package.

Neither knows control or added tokens here: `pipeline.text.tokenization` finds those before it asks for ids.
"""

import json
import re
from abc import ABC, abstractmethod
from contextlib import suppress
from pathlib import Path
from typing import Any

import tokenizers
from sentencepiece import SentencePieceProcessor

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.tokenizer_files import TokenizerFiles

SPACE = "\u2581"  # how a piece writes a space
UNKNOWN_TEXT = " \u2047 "  # what sentencepiece decodes <unk> to
_JOINING = re.compile(rb"\S ")


class Vocabulary(ABC):
    """What both kinds have in common.

    controls    control tokens that the vocabulary itself names, with their ids
    bos, eos    the vocabulary's own, by text; None where it names none
    each_alone  text behind a control token begins as a text of its own does, with a dummy space
    """

    size: int
    controls: dict[str, int]
    bos: str | None
    eos: str | None
    each_alone: bool

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of a text that stands alone; RowError(INVALID_UTF8) for lone surrogates."""

    @abstractmethod
    def id_of(self, piece: str) -> int | None:
        """The id of the piece of that very text."""

    @abstractmethod
    def piece_bytes(self) -> list[bytes]:
        """The UTF-8 bytes that each id adds to a text."""

    def joins_words(self) -> bool:
        """Whether any piece goes on behind a word with a space, so that words change each other's ids."""
        pieces = self.piece_bytes()
        return any(_JOINING.search(piece) for piece in pieces if piece != UNKNOWN_TEXT.encode())


class SentencePieceVocabulary(Vocabulary):
    def __init__(self, files: TokenizerFiles) -> None:
        self._model = _open(files.model_path, files.model)
        self.size = self._model.vocab_size()
        self.controls = {self._model.id_to_piece(i): i for i in range(self.size) if self._model.is_control(i)}
        self.bos, self.eos = self._text(self._model.bos_id()), self._text(self._model.eos_id())
        self.each_alone = files.legacy

    def encode(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._model.encode(text)
        except RuntimeError as error:
            raise lone_surrogate() from error
        return ids

    def id_of(self, piece: str) -> int | None:
        token_id: int = self._model.piece_to_id(piece)
        return token_id if self._model.id_to_piece(token_id) == piece else None

    def piece_bytes(self) -> list[bytes]:
        model, table = self._model, [b""] * self.size
        for token_id, piece in enumerate(model.id_to_piece(list(range(self.size)))):
            if model.is_byte(token_id):
                table[token_id] = bytes([int(piece[3:5], 16)])  # <0xNN>
            elif model.is_unknown(token_id):
                table[token_id] = UNKNOWN_TEXT.encode()
            elif not model.is_control(token_id):
                table[token_id] = piece.replace(SPACE, " ").encode()
        return table

    def _text(self, token_id: int) -> str | None:
        return self._model.id_to_piece(token_id) if token_id >= 0 else None


class TokenizersVocabulary(Vocabulary):
    """A tokenizer.json without a sentencepiece model beside it, as transformers 5 saves checkpoints."""

    def __init__(self, files: TokenizerFiles) -> None:
        data = {**json.loads(files.tokenizer_json), "added_tokens": [], "post_processor": None}
        data |= {"truncation": None, "padding": None}
        try:
            self._model = tokenizers.Tokenizer.from_str(json.dumps(data))
        except Exception as error:  # the package raises plain Exceptions
            raise ConfigError(
                f"{files.model_path}: the tokenizers package cannot read it: {error}"
            ) from error
        self._ids: dict[str, int] = self._model.get_vocab(with_added_tokens=False)
        self.size = max(self._ids.values(), default=-1) + 1
        self.controls, self.bos, self.eos = {}, None, None  # its added tokens and the settings name them
        steps = _steps(data)
        self._of_bytes = any(step["type"] == "ByteLevel" for step in steps)
        self.each_alone = any(
            step["type"] == "Prepend" or step.get("prepend_scheme") == "always" for step in steps
        )

    def encode(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._model.encode(text, add_special_tokens=False).ids
        except UnicodeEncodeError as error:
            raise lone_surrogate() from error
        return ids

    def id_of(self, piece: str) -> int | None:
        return self._ids.get(piece)

    def piece_bytes(self) -> list[bytes]:
        table = [b""] * self.size
        for piece, token_id in self._ids.items():
            if self._of_bytes:
                table[token_id] = bytes(_BYTES[char] for char in piece if char in _BYTES)
            elif len(piece) == 6 and piece.startswith("<0x"):
                table[token_id] = bytes([int(piece[3:5], 16)])
            else:
                table[token_id] = piece.replace(SPACE, " ").encode()
        return table


def open_vocabulary(files: TokenizerFiles) -> Vocabulary:
    """ConfigError if the file is not what its name says."""
    return SentencePieceVocabulary(files) if files.model else TokenizersVocabulary(files)


def lone_surrogate() -> RowError:
    return RowError(
        RowErrorCode.INVALID_UTF8,
        "the text holds a lone surrogate (half a UTF-16 pair), which UTF-8 cannot write",
    )


def _open(path: Path, proto: bytes) -> SentencePieceProcessor:
    model = None
    with suppress(RuntimeError):
        model = SentencePieceProcessor(model_proto=proto)
    if model is None:
        raise ConfigError(f"{path}: not a sentencepiece model")
    return model


def _steps(data: dict[str, Any]) -> list[dict[str, Any]]:
    """The steps of the normalizer, the pre-tokenizer and the decoder, those within sequences too."""
    found = [data[name] for name in ("normalizer", "pre_tokenizer", "decoder") if data.get(name)]
    for step in found:  # grows on the way
        found += [
            inner for key in ("normalizers", "pretokenizers", "decoders") for inner in step.get(key, [])
        ]
    return found


def _byte_alphabet() -> dict[str, int]:
    """The character by which a byte-level vocabulary writes each byte, as GPT-2's does.

    Bytes that are printable in Latin-1 stand for themselves, the others for the characters from U+0100 on.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + position): byte for position, byte in enumerate(others)
    }


_BYTES = _byte_alphabet()
