"""Control and added tokens: which there are, what they add to a text, where they stand in trusted text."""

import re
from collections.abc import Iterable, Iterator

from pipeline.errors import ConfigError
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.vocabulary import UNKNOWN_TEXT, Vocabulary

# Stands in a text around each character of a row's at which a token might begin. No row can hold it: it is
# half of a UTF-16 pair, which UTF-8 cannot write.
MARK = "\udfff"
_SPACES = re.compile(r"\s*")


def without_marks(text: str) -> str:
    return text.replace(MARK, "")


def enclosed(text: str) -> str:
    """A text with marks at its ends, within white space, so that it completes no token around it."""
    core = text.strip()
    begin = len(text) - len(text.lstrip())
    return f"{text[:begin]}{MARK}{core}{MARK}{text[begin + len(core) :]}" if core else text


def begins_token(literals: Iterable[str], tokens: Iterable[str]) -> bool:
    """Whether any of a template's own texts ends in the beginning of a token, which a row might complete."""
    beginnings = {token[:length] for token in tokens for length in range(1, len(token))}
    longest = max(map(len, beginnings), default=0)
    return any(
        text[-length:] in beginnings for text in literals for length in range(1, min(longest, len(text)) + 1)
    )


def trusted_tokens(vocabulary: Vocabulary, files: TokenizerFiles) -> dict[str, int]:
    """ConfigError if bos_token or eos_token names nothing."""
    tokens = vocabulary.controls | {text: token.id for text, token in files.added_tokens.items() if text}
    for key, text in (("bos_token", files.bos_token), ("eos_token", files.eos_token)):
        if text is None or text in tokens:
            continue
        token_id = vocabulary.id_of(text)
        if token_id is None:
            raise ConfigError(
                f"{files.model_path.parent}: {key} is {text!r}, which is neither an added token nor a piece "
                f"of {files.model_path.name}: mend the checkpoint's tokenizer_config.json"
            )
        tokens[text] = token_id
    return tokens


def piece_table(vocabulary: Vocabulary, trusted: dict[str, int], files: TokenizerFiles) -> list[bytes]:
    """The bytes that each id adds to a text, ids of added tokens included."""
    size = vocabulary.size
    top = max([size, *(token_id + 1 for token_id in trusted.values())])
    if top > 2 * size + 1024:
        raise ConfigError(f"{files.model_path.parent}: added token id {top - 1} is far beyond the vocabulary")
    table = vocabulary.piece_bytes() + [b""] * (top - size)
    for text, token_id in trusted.items():
        added = files.added_tokens.get(text)
        if added is not None and not added.special:
            table[token_id] = text.encode()
        elif table[token_id] != UNKNOWN_TEXT.encode():
            table[token_id] = b""
    return table


class TokensInText:
    """Finds tokens in trusted text, of several the longest; some take the white space around them along.

    A token is found alone, as transformers does. A pattern that begins with white space would take a second
    for each ten thousand spaces.
    """

    def __init__(self, files: TokenizerFiles, tokens: Iterable[str]) -> None:
        longest_first = sorted(tokens, key=len, reverse=True)
        self._takes = {text: _takes(files, text) for text in longest_first}
        # of a token of one character no mark can stand within
        patterns = (re.escape(text) + (f"(?!{MARK})" if len(text) == 1 else "") for text in longest_first)
        self._pattern = re.compile("|".join(patterns) or r"(?!)")

    def find(self, text: str) -> Iterator[tuple[int, int, str]]:
        """Where each token begins and ends, with its white space, and its name."""
        end = 0
        while match := self._pattern.search(text, end):
            name = match[0]
            before, behind = self._takes[name]
            begin = end + len(text[end : match.start()].rstrip()) if before else match.start()
            end = _SPACES.match(text, match.end()).end() if behind else match.end()  # type: ignore[union-attr]
            yield begin, end, name


def _takes(files: TokenizerFiles, text: str) -> tuple[bool, bool]:
    """Whether a token takes the white space before it along, and that behind it."""
    added = files.added_tokens.get(text)
    return (added.lstrip, added.rstrip) if added else (False, False)
