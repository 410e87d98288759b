"""Text to token ids and token ids to bytes, as a checkpoint's tokenizer files say.

Control tokens (`<s>`, `[INST]`) and added tokens (`<|im_end|>`) come out of what a template or a job's
author wrote, never out of what a row holds: a user who writes `</s>` gets the ids of those four characters.
Text that holds both has the row's part marked, see `mark`. Two limits that the formats themselves set: in v1
`[INST]` is plain text, so a user's `[/INST]` looks like the delimiter; and the v3 vocabulary's
`[REFERENCE_DOC_n]` are user-defined pieces, which sentencepiece finds in any text.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from pipeline.errors import ConfigError
from pipeline.text.control_tokens import MARK, TokensInText, piece_table, spaced_tokens, trusted_tokens
from pipeline.text.open_vocabulary import open_vocabulary
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.tokens_around import TokensAround
from pipeline.text.vocabulary import lone_surrogate
from pipeline.text.vocabulary_file import InstructVersion

_SURROGATES = re.compile("[\ud800-\udfff]")


class Tokenizer:
    """`Tokenizer.load(folder)`; pickled as its files' contents, so that processes without the folder have it.

    bos_id, eos_id      the tokenizer's own; a model may stop at further ids. There may be no BOS: None
    around              the tokens that stand around plain prompts: BOS, most often
    vocab_size          ids are in [0, vocab_size), added tokens among them
    piece_count         a row's text gives ids in [0, piece_count)
    instruct_version    the Mistral instruct format the checkpoint was trained on, if no chat template says
                        otherwise; None for a base model
    vocabulary_version  the Mistral instruct format its vocabulary can write
    trusted_tokens      control and added tokens with their ids, which only trusted text may produce
    files               the settings as they stand in the checkpoint
    words_apart         the ids of a word don't depend on the words around it
    dummy_space         a text that stands alone begins with a space that it does not have
    each_alone          text behind a control or added token begins as a text alone does, dummy space and all
    never_text          ids of control and added tokens, without those that a text may give
    """

    def __init__(self, folder: Path, files: TokenizerFiles) -> None:
        self.folder = folder
        self.files = files
        self._vocabulary = vocabulary = open_vocabulary(files)
        self.piece_count = vocabulary.size
        self.trusted_tokens = trusted_tokens(vocabulary, files)
        self._bytes = piece_table(vocabulary, self.trusted_tokens, files)
        self.vocab_size = len(self._bytes)
        bos, eos = files.bos_token or vocabulary.bos, files.eos_token or vocabulary.eos
        self.bos_id = self.trusted_tokens[bos] if bos else None
        if eos is None:
            raise ConfigError(f"{files.model_path}: the tokenizer must define an end of the sequence (</s>)")
        self.eos_id = self.trusted_tokens[eos]
        self.around = files.around or TokensAround.of_ends(
            self.bos_id if files.add_bos else None, self.eos_id if files.add_eos else None
        )
        self.around.require_ids_below(self.vocab_size, folder)
        self.words_apart = not vocabulary.joins_words()
        self.each_alone = vocabulary.each_alone
        self.dummy_space = vocabulary.dummy_space
        self.vocabulary_version = self._vocabulary_version()
        self.instruct_version = self._instruct_version()

        self._names = {token_id: text for text, token_id in self.trusted_tokens.items()}
        spaced = spaced_tokens(vocabulary, files)
        self._in_text = TokensInText(files, self.trusted_tokens, spaced)
        self._spaced_ids = {self.trusted_tokens[text] for text in spaced if text}
        firsts = {text[0] for text in self.trusted_tokens}  # in both cases: templates may change them
        starts = "".join(sorted({char for first in firsts for char in first.lower() + first.upper()}))
        self._starts = re.compile(f"[{re.escape(starts)}]") if starts else None
        self.never_text = frozenset(
            token_id
            for text, token_id in self.trusted_tokens.items()
            if token_id != vocabulary.unknown
            and token_id not in (*self.encode(text), *self.encode_continuation(text))
        )

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
        return self.files.fingerprint

    def __reduce__(self) -> tuple[object, ...]:
        return _of_files, (_Pickled(self.folder, self.files, self.fingerprint()),)

    def encode(self, text: str) -> list[int]:
        """Ids of a row's text, without BOS. No control or added token is among them.

        Raises RowError(INVALID_UTF8) for lone surrogates, which have no UTF-8 form.
        """
        return self._vocabulary.encode(text)

    def encode_continuation(self, text: str) -> list[int]:
        """Ids of a row's text behind other text: no dummy space in front of it."""
        return self._vocabulary.encode(text, continues=True)

    def encode_trusted(self, text: str, continues: bool = False) -> list[int]:
        """Ids of text in which control and added tokens count as such, but for those in marked parts.

        `continues`: it stands behind other text, so no dummy space comes in front of it.
        """
        ids: list[int] = []
        end = 0
        for found in self._in_text.find(text):
            ids += self._segment(text[end : found.begin], continues)
            token_id = self.trusted_tokens[found.name]
            is_spaced = token_id in self._spaced_ids
            if is_spaced and not continues and end == found.begin < found.token_begin:
                ids += self.encode_continuation(" ")  # the dummy space: the token took the one behind it
            ids.append(token_id)
            end, continues = found.end, not self.each_alone or is_spaced
        return ids + self._segment(text[end:], continues)

    def first_token(self, text: str) -> tuple[int, int] | None:
        """Where in trusted text the first control or added token begins, and its id; white space is none."""
        for found in self._in_text.find(text):
            if found.name.strip():
                return found.begin, self.trusted_tokens[found.name]
        return None

    def tokens_in(self, text: str) -> list[int]:
        """The control and added tokens of trusted text."""
        return [self.trusted_tokens[found.name] for found in self._in_text.find(text)]

    def mark(self, text: str) -> str:
        """A row's text, marked so that `encode_trusted` finds no token in it: see MARK."""
        if _SURROGATES.search(text):
            raise lone_surrogate()
        return self._starts.sub(lambda start: MARK + start[0] + MARK, text) if self._starts else text

    def piece_bytes(self, token_id: int) -> bytes:
        """UTF-8 bytes a token adds to a text: none for control tokens and ids that the vocabulary lacks."""
        return self._bytes[token_id] if 0 <= token_id < self.vocab_size else b""

    def piece(self, token_id: int) -> str:
        """A token for people: a control or added token by its name, any other by the text that it adds."""
        return self._names.get(token_id) or self.piece_bytes(token_id).decode("utf-8", "backslashreplace")

    def decode(self, token_ids: list[int]) -> str:
        """The text that the tokens add up to, without control tokens."""
        return b"".join(map(self.piece_bytes, token_ids)).decode("utf-8", "replace")

    def _segment(self, text: str, continues: bool) -> list[int]:
        text = text.replace(MARK, "")
        if not text:
            return []
        return self.encode_continuation(text) if continues else self.encode(text)

    def _vocabulary_version(self) -> InstructVersion | None:
        controls, named = self._vocabulary.controls, self.files.named_version
        if named:
            needed = {"v1": "<s>", "v7": "[SYSTEM_PROMPT]"}.get(named, "[INST]")
            if needed not in controls:
                raise ConfigError(f"{self.files.model_path}: no control token {needed}, so it is not {named}")
            return named
        return self._vocabulary.instruct_version()

    def _instruct_version(self) -> InstructVersion | None:
        """A base model may share its vocabulary, even its file's name, with an instruct one."""
        if self.files.named_version == "v1":
            return "v1"
        # Mistral-7B-v0.3 is a base model with [INST] in its vocabulary: its config has no chat template.
        if self.files.has_config or self.vocabulary_version == "v1":
            return None
        return self.vocabulary_version


@dataclass(frozen=True)
class _Pickled:
    """A tokenizer on its way to another process; two of the same files are equal."""

    folder: Path
    files: TokenizerFiles = field(compare=False)
    fingerprint: str = ""


@lru_cache(maxsize=4)
def _of_files(pickled: _Pickled) -> Tokenizer:
    return Tokenizer(pickled.folder, pickled.files)
