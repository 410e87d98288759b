"""A tokenizer.json, read by the `tokenizers` package, as transformers saves checkpoints.

Text is encoded by two copies of it: as a text of its own, and as one that goes on, without the dummy space
that its normalizer or pre-tokenizer would put first, and with the white space that it would take away there.
"""

import json
from contextlib import suppress
from typing import Any

import tokenizers

from pipeline.errors import ConfigError
from pipeline.text.model_without_controls import model_without_controls, pieces_of_model
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.vocabulary import SPACE, Vocabulary, lone_surrogate
from pipeline.text.vocabulary_file import InstructVersion

_RARE = "\U000f1fff"  # of a private use area: no vocabulary has it


class TokenizersVocabulary(Vocabulary):
    def __init__(self, files: TokenizerFiles) -> None:
        try:
            data = json.loads(files.vocabulary)
            self._ids = pieces_of_model(data["model"])
            model = model_without_controls(data["model"], files)
            data |= {"model": model, "added_tokens": [], "post_processor": None}
            data |= {"truncation": None, "padding": None}
            self._alone = tokenizers.Tokenizer.from_str(json.dumps(data))
            self._continued = tokenizers.Tokenizer.from_str(json.dumps(_without_dummy_space(data)))
            first = [*self.encode("a"), *self.encode(_RARE)][:1]
        except ConfigError:
            raise
        except Exception as error:  # the package raises plain Exceptions
            raise ConfigError(
                f"{files.model_path}: the tokenizers package cannot read it: {error}"
            ) from error
        self.size = max(self._ids.values(), default=-1) + 1
        self.controls, self.bos, self.eos = {}, None, None  # its added tokens and the settings name them
        self.unknown = _unknown(data["model"], model)
        steps = _steps(data, "normalizer", "pre_tokenizer")
        self._of_bytes = any(step["type"] == "ByteLevel" for step in [*steps, *_steps(data, "decoder")])
        self.normalizes_to_space_before = any(step["type"] == "Prepend" for step in steps)
        strips = any(step["type"] == "Strip" and step["strip_left"] for step in steps)
        self.each_alone = strips or any(_always_puts_space(step) for step in steps)
        if strips and any(step.get("prepend_scheme") == "first" for step in steps):
            raise ConfigError(
                f"{files.model_path}: its normalizer takes white space away at the begin of every part of a "
                "text (Strip), and its pre_tokenizer puts a space before the first part alone "
                "(prepend_scheme: first): the two together are not read"
            )
        table = self.piece_bytes()
        self.dummy_space = any(table[token_id].startswith(b" ") for token_id in first)

    def encode(self, text: str, continues: bool = False) -> list[int]:
        model = self._continued if continues else self._alone
        try:
            ids: list[int] = model.encode(text, add_special_tokens=False).ids
        except (UnicodeEncodeError, TypeError) as error:  # the package says that it is no str
            raise lone_surrogate() from error
        return ids

    def id_of(self, piece: str) -> int | None:
        return self._ids.get(piece)

    def piece_bytes(self) -> list[bytes]:
        table = [b""] * self.size
        for piece, token_id in self._ids.items():
            table[token_id] = self._bytes_of(piece)
        return table

    def instruct_version(self) -> InstructVersion | None:
        return None  # Mistral's own formats are defined over its own files, and all others bring a template

    def _bytes_of(self, piece: str) -> bytes:
        if self._of_bytes and all(char in _BYTES for char in piece):
            return bytes(_BYTES[char] for char in piece)
        if not self._of_bytes and len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
            with suppress(ValueError):
                return bytes([int(piece[3:5], 16)])
        return piece.encode() if self._of_bytes else piece.replace(SPACE, " ").encode()


def _unknown(stored: dict[str, Any], model: dict[str, Any]) -> int | None:
    if stored.get("type") == "Unigram":
        unknown: int | None = stored.get("unk_id")
        return unknown
    found: int | None = model["vocab"].get(model.get("unk_token"))
    return found


def _steps(data: dict[str, Any], *names: str) -> list[dict[str, Any]]:
    """The steps of these parts, those within sequences too."""
    found = [data[name] for name in names if data.get(name)]
    for step in found:  # grows on the way
        found += [
            inner for key in ("normalizers", "pretokenizers", "decoders") for inner in step.get(key, [])
        ]
    return found


def _always_puts_space(step: dict[str, Any]) -> bool:
    """Whether the step puts a space before every part of a text that stands between two tokens."""
    if step["type"] == "Metaspace":
        return bool(step.get("prepend_scheme", "always") == "always")
    return step["type"] == "Prepend" or bool(step.get("add_prefix_space"))


def _without_dummy_space(data: dict[str, Any]) -> dict[str, Any]:
    copy: dict[str, Any] = json.loads(json.dumps(data))
    for step in _steps(copy, "normalizer", "pre_tokenizer"):
        if step["type"] == "Prepend":
            step.clear()
            step |= {"type": "Sequence", "normalizers": []}
        elif step["type"] == "Strip":
            step["strip_left"] = False
        elif step["type"] == "Metaspace":
            step |= {"prepend_scheme": "never", "add_prefix_space": False}
        elif "add_prefix_space" in step:
            step["add_prefix_space"] = False
    return copy


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
