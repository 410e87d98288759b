"""Control and added tokens: which there are, what they add to a text, where they stand in trusted text."""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from pipeline.errors import ConfigError
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.vocabulary import SPACE, UNKNOWN_TEXT, Vocabulary

# Stands in a text around each character of a row's at which a token might begin. No row can hold it: it is
# half of a UTF-16 pair, which UTF-8 cannot write.
MARK = "\udfff"
_WHITE = "".join(filter(str.isspace, map(chr, range(sys.maxunicode + 1))))
_OTHER_WHITE = _WHITE.replace(" ", "")


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


@dataclass(frozen=True)
class Found:
    """A token in a text, from `begin` to `end` with the white space and the space that belong to it."""

    begin: int
    token_begin: int  # where its own text begins
    end: int
    name: str


class TokensInText:
    """Finds tokens in trusted text, of several the longest; some take the white space around them along.

    A token is found alone, as transformers does. A pattern that begins with white space would take a second
    for each ten thousand spaces.
    """

    def __init__(
        self, files: TokenizerFiles, tokens: Iterable[str], spaced: frozenset[str] = frozenset()
    ) -> None:
        """`spaced` are the tokens of `spaced_tokens`."""
        longest_first = sorted(tokens, key=len, reverse=True)
        self._takes = {text: _takes(files, spaced, text) for text in longest_first}
        begins = _begins(set(longest_first) - spaced) if spaced else ""
        patterns = []
        demanded = groupby(longest_first, partial(_demands, files, spaced, begins))
        for number, ((left, right), texts) in enumerate(demanded):
            # of a token of one character no mark can stand within
            one = "|".join(re.escape(text) + (f"(?!{MARK})" if len(text) == 1 else "") for text in texts)
            patterns.append(f"{left}(?P<token{number}>{one}){right}")
        self._pattern = re.compile("|".join(patterns) or r"(?!)")

    def find(self, text: str) -> Iterator[Found]:
        end = 0
        while match := self._pattern.search(text, end):
            token_begin = match.start(match.lastgroup or 0)
            name = match[match.lastgroup or 0]
            before, behind = self._takes[name]
            begin = match.start()
            if before is not None:
                begin = end + len(text[end:begin].rstrip(before))
            end = match.end()
            if behind is not None:
                end = behind.match(text, end).end()  # type: ignore[union-attr]
            yield Found(begin, token_begin, end, name)


def spaced_tokens(vocabulary: Vocabulary, files: TokenizerFiles) -> frozenset[str]:
    """Added tokens that count behind a space alone, or where a part of the text begins.

    The normalizer of older Llama tokenizers puts a space before the token's own text as before any other, so
    the two together are what the `tokenizers` package looks for.
    """
    if not vocabulary.normalizes_to_space_before:
        return frozenset()
    return frozenset(text for text, token in files.added_tokens.items() if token.normalized)


def _begins(others: Iterable[str]) -> str:
    """Where a part of the text begins: at its own begin, and behind each of the other tokens."""
    return "|".join([r"\A", *(f"(?<={re.escape(text)})" for text in sorted(others))])


def _takes(
    files: TokenizerFiles, spaced: frozenset[str], text: str
) -> tuple[str | None, re.Pattern[str] | None]:
    """The white space that a token takes along: characters before it, a pattern behind it; None: none."""
    added = files.added_tokens.get(text)
    if added is None:
        return None, None
    # spaces are no white space after the normalizer of those
    characters, pattern = (_OTHER_WHITE, r"[^\S ]*") if text in spaced else (_WHITE, r"\s*")
    return characters if added.lstrip else None, re.compile(pattern) if added.rstrip else None


def _demands(files: TokenizerFiles, spaced: frozenset[str], begins: str, text: str) -> tuple[str, str]:
    """Patterns of what must stand right before a token, and behind it."""
    left = f"(?:[ {SPACE}]|{begins})" if text in spaced else ""
    added = files.added_tokens.get(text)
    return (left + r"(?<!\w)", r"(?!\w)") if added is not None and added.single_word else (left, "")
