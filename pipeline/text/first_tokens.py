"""The first tokens of a long text, cut between characters: a template's filter `first_tokens`."""

from pipeline.text.control_tokens import MARK, without_marks
from pipeline.text.tokenization import Tokenizer

_CHARACTERS_A_TOKEN = 8  # more than most texts have, so that the text behind the cut is rarely tokenized


def first_tokens(tokenizer: Tokenizer, text: str, count: int) -> str:
    """The beginning of `text` that its first `count` tokens hold; by itself it makes no more than `count`.

    Marks of what a row wrote count for nothing and stay. RowError(INVALID_UTF8) for half a surrogate pair in
    the part that is tokenized.
    """
    plain = without_marks(text)
    if len(plain) == len(text):
        return _beginning(tokenizer, text, count)
    left = len(_beginning(tokenizer, plain, count))
    end = 0
    while end < len(text) and (left or text[end] == MARK):
        left -= text[end] != MARK
        end += 1
    return text[:end]


def _beginning(tokenizer: Tokenizer, text: str, count: int) -> str:
    length = max(1, count) * _CHARACTERS_A_TOKEN
    while True:
        head = text[:length]
        ids = tokenizer.encode(head)
        if len(ids) > count:
            break
        if len(head) == len(text):
            return text
        length *= 2
    kept = count
    while kept > 0:
        beginning = head[: _characters(tokenizer, head, ids[:kept])]
        if len(tokenizer.encode(beginning)) <= count:  # the tokens of a part may be other ones
            return beginning
        kept -= 1
    return ""


def _characters(tokenizer: Tokenizer, text: str, ids: list[int]) -> int:
    """How many whole characters of `text` its first tokens `ids` hold."""
    data = b"".join(map(tokenizer.piece_bytes, ids))
    if data.startswith(b" ") and not text.startswith(" "):
        data = data[1:]  # the space that the tokenizer puts before a text
    return len(data.decode(errors="ignore"))
