"""A sentencepiece model, as Mistral's releases up to v7 have it: `tokenizer.model` and its like."""

from contextlib import suppress

from sentencepiece import SentencePieceProcessor

from pipeline.errors import ConfigError
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.vocabulary import SPACE, UNKNOWN_TEXT, Vocabulary, lone_surrogate
from pipeline.text.vocabulary_file import InstructVersion

ANCHOR = "\u263a"  # no other piece begins with it; text behind it is encoded without the dummy space


class SentencePieceVocabulary(Vocabulary):
    def __init__(self, files: TokenizerFiles) -> None:
        model = None
        with suppress(RuntimeError):
            model = SentencePieceProcessor(model_proto=files.vocabulary)
        if model is None:
            raise ConfigError(f"{files.model_path}: not a sentencepiece model")
        self._model = model
        self.size = model.vocab_size()
        self.controls = {model.id_to_piece(i): i for i in range(self.size) if model.is_control(i)}
        self.bos, self.eos = self._text(model.bos_id()), self._text(model.eos_id())
        self.unknown = model.unk_id()
        self.each_alone = files.legacy
        first, *_ = model.id_to_piece(model.encode("a"))
        self.dummy_space = first.startswith(SPACE)
        self._anchor: list[int] = model.encode(ANCHOR)

    def encode(self, text: str, continues: bool = False) -> list[int]:
        anchored = continues and self.dummy_space
        try:
            ids: list[int] = self._model.encode(ANCHOR + text if anchored else text)
        except RuntimeError as error:
            raise lone_surrogate() from error
        return ids[len(self._anchor) :] if anchored else ids

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

    def instruct_version(self) -> InstructVersion | None:
        if "[SYSTEM_PROMPT]" in self.controls:
            return "v7"
        if "[INST]" not in self.controls:
            return "v1"
        return "v3" if "[PREFIX]" in self.controls else "v2"

    def _text(self, token_id: int) -> str | None:
        return self._model.id_to_piece(token_id) if token_id >= 0 else None
