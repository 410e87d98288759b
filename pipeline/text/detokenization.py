"""Token ids to text, one at a time: UTF-8 across tokens, stop strings across tokens."""

import codecs
from collections.abc import Sequence
from functools import lru_cache

from pipeline.text.tokenization import Tokenizer


class Detokenizer:
    """The text of one row's completion as it grows.

    A stop string is looked for in the text, wherever tokens end: the text is cut before it, the ids behind
    the token that completes it. Of several that one token completes, the one that begins first counts.
    The time of an `add` does not grow with the text before it.
    """

    def __init__(
        self, tokenizer: Tokenizer, stop: Sequence[str] = (), drop_leading_space: bool = True
    ) -> None:
        """`drop_leading_space` drops the first piece's space, as sentencepiece does.

        That is right for a chat turn and wrong for a continuation.
        """
        if "" in stop:
            raise ValueError("stop strings must not be empty")
        self._tokenizer = tokenizer
        self._matchers = [_StopMatcher(text) for text in stop]
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._drop_space = drop_leading_space
        self._certain: list[str] = []  # text that no stop string can cut off any more
        self._held = ""  # the longest end of the text that may begin a stop string
        self.stopped = False

    @property
    def text(self) -> str:
        """The text so far, without what may turn out to be a stop string or half a character."""
        self._certain = ["".join(self._certain)]
        return self._certain[0]

    def add(self, token_id: int) -> bool:
        """Take the next token; True once a stop string is complete, and nothing is added from then on."""
        if self.stopped:
            return True
        data = self._tokenizer.piece_bytes(token_id)
        if data and self._drop_space:
            self._drop_space = False
            if self._tokenizer.opens_with_space(token_id):
                data = data[1:]
        self._take(self._utf8.decode(data))
        return self.stopped

    def finish(self) -> str:
        """The final text: text that was held back is added, half a character becomes U+FFFD."""
        if not self.stopped:
            self._take(self._utf8.decode(b"", final=True))
            self._certain.append(self._held)
            self._held = ""
        return self.text

    def _take(self, new: str) -> None:
        text = self._held + new
        begins = [begin for matcher in self._matchers if (begin := matcher.feed(new)) is not None]
        if begins:
            self.stopped = True
            self._certain.append(text[: len(text) - len(new) + min(begins)])
            self._held = ""
            return
        held = max((matcher.matched for matcher in self._matchers), default=0)
        self._certain.append(text[: len(text) - held])
        self._held = text[len(text) - held :]


class _StopMatcher:
    """Knuth, Morris and Pratt's search, fed piece by piece."""

    def __init__(self, stop: str) -> None:
        self._stop = stop
        self._borders = _borders(stop)
        self.matched = 0  # the longest end of the text that begins the stop string

    def feed(self, new: str) -> int | None:
        """Where the first match begins, if there is one, counted from the start of `new`: often negative."""
        stop, borders, matched = self._stop, self._borders, self.matched
        for position, char in enumerate(new):
            while matched and stop[matched] != char:
                matched = borders[matched - 1]
            if stop[matched] == char:
                matched += 1
            if matched == len(stop):
                return position + 1 - matched
        self.matched = matched
        return None


@lru_cache(maxsize=1024)
def _borders(text: str) -> tuple[int, ...]:
    """For each start of `text`, the length of its longest border: a shorter start that is also its end."""
    borders = [0] * len(text)
    length = 0
    for position in range(1, len(text)):
        while length and text[position] != text[length]:
            length = borders[length - 1]
        if text[position] == text[length]:
            length += 1
        borders[position] = length
    return tuple(borders)
