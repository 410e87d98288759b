"""Token ids to text, one at a time: UTF-8 across tokens, stop strings across tokens."""

import codecs
from collections.abc import Sequence

from pipeline.text.tokenization import Tokenizer


class Detokenizer:
    """The text of one row's completion as it grows.

    A stop string is looked for in the text, wherever tokens end: the text is cut before it, the ids behind
    the token that completes it. Of several that one token completes, the one that begins first counts.
    The time of an `add` does not grow with the text before it.
    """

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str] = (), opening: str = "") -> None:
        """`opening` is dropped where the text begins with it: see `PromptFormat.answer_opening`."""
        if "" in stop:
            raise ValueError("stop strings must not be empty")
        self._tokenizer = tokenizer
        self._matchers = [_StopMatcher(text) for text in stop]
        self._utf8 = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._opening = opening
        self._begun = ""  # the text so far, as long as it may be the opening
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
        self._take(self._without_opening(self._utf8.decode(self._tokenizer.piece_bytes(token_id))))
        return self.stopped

    def finish(self) -> str:
        """The final text: text that was held back is added, half a character becomes U+FFFD."""
        if not self.stopped:
            self._take(self._without_opening(self._utf8.decode(b"", final=True), final=True))
            self._certain.append(self._held)
            self._held = ""
        return self.text

    def _without_opening(self, new: str, final: bool = False) -> str:
        """Hold text back as long as it may still be the opening."""
        if not self._opening:
            return new
        self._begun += new
        if self._opening.startswith(self._begun) and not final and self._begun != self._opening:
            return ""
        new, self._opening = self._begun.removeprefix(self._opening), ""
        return new

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
