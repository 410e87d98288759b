"""Control and added tokens: which there are, what they add to a text, where they stand in trusted text."""

import re
from collections.abc import Iterable
from functools import partial
from itertools import groupby

from pipeline.errors import ConfigError
from pipeline.text.tokenizer_files import TokenizerFiles
from pipeline.text.vocabulary import SPACE, UNKNOWN_TEXT, Vocabulary

# Stands in a text around each character of a row's at which a token might begin. No row can hold it: it is
# half of a UTF-16 pair, which UTF-8 cannot write.
MARK = "\udfff"


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


def splitter(files: TokenizerFiles, trusted: dict[str, int], spaced: frozenset[str]) -> re.Pattern[str]:
    """Finds tokens, longer ones first; some take white space along. The token is the match's last group."""
    longest_first = sorted(trusted, key=len, reverse=True)
    begins = _begins(trusted.keys() - spaced) if spaced else ""
    patterns = []
    for number, (around, texts) in enumerate(groupby(longest_first, partial(_around, files, spaced, begins))):
        left, right = around
        # of a token of one character no mark can stand within
        one = "|".join(re.escape(text) + (f"(?!{MARK})" if len(text) == 1 else "") for text in texts)
        patterns.append(f"{left}(?P<token{number}>{one}){right}")
    return re.compile("|".join(patterns) or r"(?!)")


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


def _around(files: TokenizerFiles, spaced: frozenset[str], begins: str, text: str) -> tuple[str, str]:
    """Patterns of what a token takes along or demands, before it and behind it."""
    added = files.added_tokens.get(text)
    if added is None:
        return "", ""
    white = r"[^\S ]*" if text in spaced else r"\s*"  # spaces are no white space after that normalizer
    left, right = (white if strips else "" for strips in (added.lstrip, added.rstrip))
    if text in spaced:
        left += f"(?:[ {SPACE}]|{begins})"
    return (left + r"(?<!\w)", r"(?!\w)" + right) if added.single_word else (left, right)
