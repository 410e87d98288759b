"""Mistral's tekken.json: pieces as base64 bytes, the pattern that cuts text into words, special tokens.

    config.pattern                      a regular expression, whose matches are words
    config.default_vocab_size           all ids; the pieces beyond are not used
    config.default_num_special_tokens   ids in [0, n) are special tokens, a piece's id is its rank + n
    config.version                      the instruct format: v3, v7, v11, v13
    vocab                               [{rank, token_bytes, token_str}], by rank
    special_tokens                      [{rank, token_str, is_control}]; without it those of _SPECIAL

The format is that of mistral-common (tokens/tokenizers/tekken.py), whose ids these are.
"""

import base64
import json
from functools import lru_cache
from typing import Any

from tokenizers import Regex, pre_tokenizers

from pipeline.errors import ConfigError
from pipeline.text.byte_pairs import merged
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.vocabulary import Vocabulary, lone_surrogate
from pipeline.text.vocabulary_file import InstructVersion

# Of files without special_tokens, from id 0 on; the ids behind them are <SPECIAL_n>.
_SPECIAL = (
    "<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]",
    "[/TOOL_RESULTS]", "[TOOL_CALLS]", "[IMG]", "<pad>", "[IMG_BREAK]", "[IMG_END]", "[PREFIX]", "[MIDDLE]",
    "[SUFFIX]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[TOOL_CONTENT]",
)  # fmt: skip
# v11 and v13 differ from v7 in tool calls alone; v15 has settings of its own in every prompt.
_FORMATS: dict[str, InstructVersion] = {"v3": "v3", "v7": "v7", "v11": "v7", "v13": "v7"}
_REMEMBERED_WORDS = 1 << 16
_LONG_WORD = 64  # characters; longer ones are not remembered


class TekkenVocabulary(Vocabulary):
    def __init__(self, files: TokenizerFiles) -> None:
        try:
            data = json.loads(files.vocabulary)
            pattern, version, size, specials = _settings(data["config"])
            self._ranks = _ranks(data["vocab"], size - specials)
            self.controls = _special_tokens(data.get("special_tokens"), specials)
            self._words = pre_tokenizers.Split(Regex(pattern), "isolated")
        except KeyError as error:
            raise ConfigError(f"{files.model_path}: not a tekken vocabulary: it has no {error}") from error
        except Exception as error:  # the tokenizers package raises plain Exceptions
            raise ConfigError(f"{files.model_path}: not a tekken vocabulary: {error}") from error
        self._specials = specials
        self.size = size
        self.bos, self.eos = (text if text in self.controls else None for text in ("<s>", "</s>"))
        self.unknown = None
        self.each_alone = self.dummy_space = False
        self.version = version
        self._remembered = lru_cache(maxsize=_REMEMBERED_WORDS)(self._merged)

    def encode(self, text: str, continues: bool = False) -> list[int]:
        try:
            words = self._words.pre_tokenize_str(text)
        except UnicodeEncodeError as error:
            raise lone_surrogate() from error
        ids: list[int] = []
        for word, _ in words:
            ids += self._remembered(word) if len(word) <= _LONG_WORD else self._merged(word)
        return ids

    def id_of(self, piece: str) -> int | None:
        rank = self._ranks.get(piece.encode())
        return None if rank is None else self._specials + rank

    def piece_bytes(self) -> list[bytes]:
        return [b""] * self._specials + list(self._ranks)

    def instruct_version(self) -> InstructVersion | None:
        version = _FORMATS.get(self.version)
        needed = {"v3": ("[INST]", "[/INST]"), "v7": ("[INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]")}
        return version if version and self.controls.keys() >= {*needed[version]} else None

    def _merged(self, word: str) -> list[int]:
        return [self._specials + rank for rank in merged(word.encode(), self._ranks)]


def _settings(config: dict[str, Any]) -> tuple[str, str, int, int]:
    """Pattern, version, all ids, ids of special tokens."""
    size, specials = config["default_vocab_size"], config["default_num_special_tokens"]
    pattern, version = config["pattern"], config["version"]
    for value, kind in ((pattern, str), (version, str), (size, int), (specials, int)):
        if type(value) is not kind:
            raise TypeError(f"{value!r} in its config is not of type {kind.__name__}")
    if not 0 < specials < size:
        raise ValueError(f"{size} ids, {specials} of them for special tokens, do not add up")
    return pattern, version, size, specials


def _ranks(entries: list[dict[str, Any]], count: int) -> dict[bytes, int]:
    if len(entries) < count:
        raise ValueError(f"it has {len(entries)} pieces, its config says {count}")
    ranks: dict[bytes, int] = {}
    for rank, entry in enumerate(entries[:count]):
        if entry["rank"] != rank:
            raise ValueError(f"the piece at place {rank} has rank {entry['rank']!r}")
        ranks[base64.b64decode(entry["token_bytes"], validate=True)] = rank
    if len(ranks) != count or b"" in ranks:
        raise ValueError("a piece stands twice in it, or is empty")
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise ValueError(f"it has no piece for the byte {missing[0]}, so it cannot write every text")
    return ranks


def _special_tokens(entries: list[dict[str, Any]] | None, count: int) -> dict[str, int]:
    if entries is None:
        entries = [{"rank": number, "token_str": text} for number, text in enumerate(_SPECIAL)]
    tokens = {entry["token_str"]: entry["rank"] for entry in entries}
    if sorted(tokens.values()) != [*range(len(entries))] or len(entries) > count or "" in tokens:
        raise ValueError(f"its special tokens are not {count} texts with ranks from 0 on")
    return tokens | {f"<SPECIAL_{number}>": number for number in range(len(entries), count)}
