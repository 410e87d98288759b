"""Text to token ids and token ids to bytes, with a checkpoint's own sentencepiece model.

Control tokens (`<s>`, `[INST]`) and added tokens (`<|im_end|>`) come out of trusted text only: a user who
writes `</s>` gets the ids of those four characters. Two limits that the formats themselves set: in v1
`[INST]` is plain text, so a user's `[/INST]` looks like the delimiter; and the v3 vocabulary's
`[REFERENCE_DOC_n]` are user-defined pieces, which sentencepiece finds in any text.
"""

import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from pipeline.errors import ConfigError, RowError, RowErrorCode
from pipeline.text.tokenizer_files import InstructVersion, TokenizerFiles

SPACE = "\u2581"  # how sentencepiece writes a space inside a piece
UNKNOWN_TEXT = " \u2047 "  # what sentencepiece decodes <unk> to
ANCHOR = "\u263a"  # no other piece begins with it; text behind it is encoded without the dummy space


class Tokenizer:
    """`Tokenizer.load(folder)`; pickled as the folder's path, loaded once in each process.

    bos_id, eos_id      the tokenizer's own; a model may stop at further ids
    vocab_size          ids are in [0, vocab_size), added tokens among them
    piece_count         user text gives ids in [0, piece_count)
    instruct_version    the Mistral instruct format the checkpoint was trained on; None for a base model
    vocabulary_version  the Mistral instruct format its vocabulary can write; None for v7, not supported
    trusted_tokens      control and added tokens with their ids, which only trusted text may produce
    chat_template       the checkpoint's own jinja template where that is not Mistral's format
    """

    def __init__(self, folder: Path, files: TokenizerFiles) -> None:
        self.folder = folder
        self._model = _open_model(files)
        self._legacy = files.legacy
        self._fingerprint = files.fingerprint
        self.trusted_tokens = self._control_and_added(files)
        self._splitter = re.compile(
            "|".join(map(re.escape, sorted(self.trusted_tokens, key=len, reverse=True)))
        )
        self._bytes, self._spaced = self._piece_table(files)

        self.vocab_size = len(self._bytes)
        self.piece_count: int = self._model.vocab_size()
        self.bos_id: int = self._model.bos_id()
        self.eos_id: int = self.trusted_tokens.get(files.eos_token or "", self._model.eos_id())
        if self.bos_id < 0 or self.eos_id < 0:
            raise ConfigError(f"{files.model_path}: the tokenizer must define <s> and </s>")
        self.vocabulary_version = self._vocabulary_version(files)
        self.chat_template = files.chat_template if _is_foreign(files.chat_template) else None
        self.instruct_version = self._instruct_version(files)

    @classmethod
    def load(cls, folder: Path | str) -> "Tokenizer":
        """Read the tokenizer of the checkpoint in `folder`; ConfigError if it has none we can read."""
        files = TokenizerFiles.read(Path(folder))
        try:
            return cls(Path(folder), files)
        except UnicodeDecodeError as error:
            raise ConfigError(f"{files.model_path}: it has pieces that are not UTF-8") from error

    def fingerprint(self) -> str:
        """The sha256 of the tokenizer's files: two equal ones give equal ids."""
        return self._fingerprint

    def __reduce__(self) -> tuple[object, ...]:
        return _reload, (str(self.folder), self._fingerprint)

    def encode(self, text: str, trusted: bool = False, filler: str = "") -> list[int]:
        """Ids of `text`, without BOS; only in trusted text do control and added tokens count as such.

        `filler` is a character that is taken out of trusted text after the tokens are found.
        Raises RowError(INVALID_UTF8) for lone surrogates, which have no UTF-8 form.
        """
        if not trusted:
            return self._encode_plain(text)
        ids: list[int] = []
        end = 0
        for match in self._splitter.finditer(text):
            ids += self._encode_segment(text[end : match.start()], filler, first=end == 0)
            ids.append(self.trusted_tokens[match.group()])
            end = match.end()
        return ids + self._encode_segment(text[end:], filler, first=end == 0)

    def encode_continuation(self, text: str) -> list[int]:
        """Ids of `text` behind other text: no dummy space in front of it."""
        anchor = self._encode_plain(ANCHOR)
        return self._encode_plain(ANCHOR + text)[len(anchor) :]

    def piece_bytes(self, token_id: int) -> bytes:
        """UTF-8 bytes a token adds to a text: none for control tokens and ids that the vocabulary lacks."""
        return self._bytes[token_id] if 0 <= token_id < self.vocab_size else b""

    def opens_with_space(self, token_id: int) -> bool:
        """Whether the token is a piece such as `▁the`; the raw byte 0x20 is none."""
        return token_id in self._spaced

    def _encode_plain(self, text: str) -> list[int]:
        try:
            ids: list[int] = self._model.encode(text)
        except RuntimeError as error:
            message = "the text holds a lone surrogate (half a UTF-16 pair), which UTF-8 cannot write"
            raise RowError(RowErrorCode.INVALID_UTF8, message) from error
        return ids

    def _encode_segment(self, text: str, filler: str, first: bool) -> list[int]:
        text = text.replace(filler, "") if filler else text
        if not text:
            return []
        return self._encode_plain(text) if first or self._legacy else self.encode_continuation(text)

    def _control_and_added(self, files: TokenizerFiles) -> dict[str, int]:
        size = self._model.vocab_size()
        controls = [i for i in range(size) if self._model.is_control(i)]
        trusted = {self._model.id_to_piece(i): i for i in controls}
        return trusted | {text: token.id for text, token in files.added_tokens.items() if text}

    def _piece_table(self, files: TokenizerFiles) -> tuple[list[bytes], frozenset[int]]:
        model, size = self._model, self._model.vocab_size()
        top = max([size, *(token.id + 1 for token in files.added_tokens.values())])
        if top > 2 * size + 1024:
            raise ConfigError(
                f"{files.model_path.parent}: added token id {top - 1} is far beyond the vocabulary"
            )
        table = [b""] * top
        spaced = set()
        for token_id, piece in enumerate(model.id_to_piece(list(range(size)))):
            if model.is_byte(token_id):
                table[token_id] = bytes([int(piece[3:5], 16)])  # <0xNN>
            elif model.is_unknown(token_id):
                table[token_id] = UNKNOWN_TEXT.encode()
            elif not model.is_control(token_id):
                table[token_id] = piece.replace(SPACE, " ").encode()
                if piece.startswith(SPACE):
                    spaced.add(token_id)
        for text, token in files.added_tokens.items():
            if token.id >= size and not token.special:
                table[token.id] = text.encode()
        return table, frozenset(spaced)

    def _vocabulary_version(self, files: TokenizerFiles) -> InstructVersion | None:
        if files.named_version:
            return files.named_version
        controls = {text for text, i in self.trusted_tokens.items() if i < self._model.vocab_size()}
        if "[SYSTEM_PROMPT]" in controls:
            return None
        if "[INST]" not in controls:
            return "v1"
        return "v3" if "[PREFIX]" in controls else "v2"

    def _instruct_version(self, files: TokenizerFiles) -> InstructVersion | None:
        """A base model may share its vocabulary, even its file's name, with an instruct one."""
        if self.chat_template is not None:
            return None
        if files.chat_template is not None or files.named_version == "v1":
            return self.vocabulary_version
        # Mistral-7B-v0.3 is a base model with [INST] in its vocabulary: its config has no chat template.
        if files.has_config or self.vocabulary_version == "v1":
            return None
        return self.vocabulary_version


def _open_model(files: TokenizerFiles) -> SentencePieceProcessor:
    model = None
    with suppress(RuntimeError):
        # sentencepiece takes an empty model for no model at all
        model = SentencePieceProcessor(model_proto=files.model) if files.model else None
    if model is None:
        raise ConfigError(f"{files.model_path}: not a sentencepiece model")
    return model


def _is_foreign(template: str | None) -> bool:
    """Mistral's own templates all write [INST]; so does Llama 2's, with its own system prompt."""
    return template is not None and ("[INST]" not in template or "<<SYS>>" in template)


@lru_cache(maxsize=4)
def _reload(folder: str, fingerprint: str) -> Tokenizer:
    tokenizer = Tokenizer.load(folder)
    if tokenizer.fingerprint() != fingerprint:
        raise ConfigError(f"{folder}: the tokenizer's files differ from those that the job was planned with")
    return tokenizer
