"""Which of a checkpoint's files its vocabulary is read from, and which others lie beside it unread.

tokenizer.model[.v1|.v2|.v3|.v7], sentencepiece.bpe.model    a sentencepiece model
tokenizer.json                                               of the `tokenizers` package
tekken.json                                                  Mistral's own since Nemo

The first there is counts, with one exception: a tokenizer.json of other pieces than the sentencepiece model,
as merges and fine-tunes with another vocabulary have them. It is read then, as transformers reads it.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from sentencepiece import SentencePieceProcessor

from pipeline.errors import ConfigError

InstructVersion = Literal["v1", "v2", "v3", "v7"]
Kind = Literal["sentencepiece", "tokenizers", "tekken"]

MAX_BYTES = 100 << 20  # of one file

# In order of preference: a version in a file's name says more. Mixtral-8x22B-Instruct holds both kinds.
MODEL_FILES: dict[str, InstructVersion | None] = {
    "tokenizer.model.v7": "v7",
    "tokenizer.model.v3": "v3",
    "tokenizer.model.v2": "v2",
    "tokenizer.model.v1": "v1",
    "tokenizer.model": None,
    "sentencepiece.bpe.model": None,
}
_OTHER_FILES: dict[str, Kind] = {"tokenizer.json": "tokenizers", "tekken.json": "tekken"}


@dataclass(frozen=True)
class VocabularyFile:
    path: Path
    kind: Kind
    content: bytes
    unread: str  # of what else there is, for people; empty where there is nothing to say

    @classmethod
    def find(cls, folder: Path) -> "VocabularyFile":
        """ConfigError if there is none, or it cannot be read."""
        if not folder.is_dir():
            raise ConfigError(f"{folder}: there is no such checkpoint folder")
        names = [name for name in (*MODEL_FILES, *_OTHER_FILES) if (folder / name).is_file()]
        if not names:
            raise ConfigError(
                f"{folder}: a checkpoint needs its tokenizer ({', '.join(MODEL_FILES)}, "
                f"{' or '.join(_OTHER_FILES)}), found none"
            )
        name, content = names[0], read_bytes(folder / names[0])
        if name in MODEL_FILES and not content:
            raise ConfigError(f"{folder / name}: is empty, so it is not a sentencepiece model")
        unread = ", ".join(other for other in names if other != name)
        if name in MODEL_FILES and "tokenizer.json" in names:
            whole = read_bytes(folder / "tokenizer.json")
            if _have_other_pieces(content, whole):
                others = ", ".join(other for other in names if other != "tokenizer.json")
                unread = f"{others}, which has other pieces"
                return cls(folder / "tokenizer.json", "tokenizers", whole, unread)
        return cls(folder / name, _OTHER_FILES.get(name, "sentencepiece"), content, unread)


def read_bytes(path: Path) -> bytes:
    """ConfigError if the file is too large for a tokenizer's, or cannot be read."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigError(f"{path}: is larger than {MAX_BYTES >> 20} MiB, which no tokenizer's file is")
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _have_other_pieces(model: bytes, whole: bytes) -> bool:
    """Whether both can be read, and some id is another piece; added tokens may stand in either."""
    with suppress(RuntimeError, ValueError, RecursionError, TypeError, KeyError, AttributeError, IndexError):
        data: dict[str, Any] = json.loads(whole)
        stored = data["model"]["vocab"]
        if isinstance(stored, list):
            stored = {piece: number for number, (piece, _) in enumerate(stored)}
        added = {entry["id"] for entry in data.get("added_tokens", [])}
        processor = SentencePieceProcessor(model_proto=model)
        pieces = processor.id_to_piece(list(range(processor.vocab_size())))
        ordinary = {piece: number for number, piece in enumerate(pieces) if number not in added}
        return bool({piece: number for piece, number in stored.items() if number not in added} != ordinary)
    return False
