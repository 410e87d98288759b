"""The token ids by which a model says each choice, or any given text, behind a prompt.

They are the ids of the prompt's text with the choice behind it, tokenized as a whole. The last word of a
prompt may have other ids then than it has alone: a prompt that ends in a space ends in the token of that
space, and `billing` behind it would be said as the one token of ` billing`. So the choices begin where the
prompt's ids and those of all texts part, which may be before the prompt's end.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import takewhile

from pipeline.errors import ConfigError, RowError
from pipeline.text.prompt_format import AnswerFrame, PromptFormat

REMEMBERED = 64  # ends of prompts whose choices are kept


@dataclass(frozen=True)
class Choices:
    """How the choices follow one prompt."""

    shared: tuple[int, ...]  # in place of the prompt's last ids
    token_ids: tuple[tuple[int, ...], ...]  # of each choice behind them, without the token that ends it


class AnswerTokens:
    """Texts behind the prompts of one format."""

    def __init__(self, prompt_format: PromptFormat) -> None:
        self._format = prompt_format
        self._tokenizer = prompt_format.tokenizer

    def text_behind(self, prompt_ids: Sequence[int], text: str) -> tuple[list[int], tuple[int, ...]]:
        """The prompt as far as its ids stay, and the ids of a row's text behind it.

        A text that begins with white space brings what stands between the two.
        """
        frame, continues = self._frame(prompt_ids)
        frame = replace(frame, before="" if text[:1].isspace() else frame.before, behind="")
        begin = self._last_word(prompt_ids, frame)
        texts = (self._tokenizer.mark(text),)
        found = self._behind(tuple(prompt_ids[begin:]), frame, continues, texts)
        return [*prompt_ids[:begin], *found.shared], found.token_ids[0]

    def _frame(self, prompt_ids: Sequence[int]) -> tuple[AnswerFrame, bool]:
        """What stands around an answer, and whether it goes on in the text that the prompt ends in."""
        at_token = prompt_ids[-1] in self._tokenizer.never_text
        frame = self._format.answer_frame("" if at_token else self._tokenizer.decode([*prompt_ids[-8:]]))
        return frame, not (at_token and self._tokenizer.each_alone)

    def _last_word(self, prompt_ids: Sequence[int], frame: AnswerFrame) -> int:
        """Index of the first of the prompt's ids that may change with what follows."""
        end = len(prompt_ids)
        first = self._tokenizer.first_token(frame.before)
        if frame.alone or (first is not None and first[0] == 0):
            return end
        if frame.before.startswith(" ") and self._starts_word(prompt_ids, end, b" "):
            return end
        begin = end
        while begin and prompt_ids[begin - 1] not in self._tokenizer.never_text:
            begin -= 1
            if self._starts_word(prompt_ids, begin, self._tokenizer.piece_bytes(prompt_ids[begin])):
                break
        return begin

    def _starts_word(self, prompt_ids: Sequence[int], position: int, piece: bytes) -> bool:
        """Whether `piece` at that position begins a word, whose ids don't depend on what stands before."""
        before = self._tokenizer.piece_bytes(prompt_ids[position - 1]) if position else b""
        return self._tokenizer.words_apart and piece.startswith(b" ") and not before[-1:].isspace()

    def _behind(
        self, last_word: tuple[int, ...], frame: AnswerFrame, continues: bool, texts: Sequence[str]
    ) -> Choices:
        """`continues`: the texts go on in the text that the prompt ends in."""
        encode = self._tokenizer.encode_trusted
        if frame.alone:
            return Choices((), tuple(tuple(encode(text)) for text in texts))
        answers = [frame.before + text + frame.behind for text in texts]
        if last_word:
            word = self._tokenizer.mark(self._tokenizer.decode([*last_word]))
            base = encode(word + frame.before, continues=True)
            whole = [encode(word + answer, continues=True) for answer in answers]
            kept = all(tuple(ids[: len(last_word)]) == last_word for ids in (base, *whole))
            known = tuple(encode(word, continues=True)) == last_word  # not so with an unknown character
            if kept or (known and not self._format.as_given):
                return self._parted(base, whole)
            ids = [self._up_to_end(encode(answer, continues=True)) for answer in answers]
            return Choices(last_word, tuple(ids))
        base = encode(frame.before, continues)
        return self._parted(base, [encode(answer, continues) for answer in answers])

    def _parted(self, base: list[int], whole: list[list[int]]) -> Choices:
        """Where the ids of all texts part from each other, or from those of the text without a choice."""
        columns = zip(base, *(ids[:-1] for ids in whole), strict=False)
        shared = len([*takewhile(lambda column: len({*column}) == 1, columns)])
        return Choices(tuple(base[:shared]), tuple(self._up_to_end(ids[shared:]) for ids in whole))

    def _up_to_end(self, ids: list[int]) -> tuple[int, ...]:
        """What stands behind the choice may hold an end id itself: a newline that ends answers, say."""
        return (*ids[:1], *takewhile(lambda token_id: token_id not in self._format.end_ids, ids[1:]))


class ChoiceTokens(AnswerTokens):
    """The choices of a job, by name, each with the text by which the model says it.

    ConfigError for a text that no answer could equal, for two with the same ids, and for a format in which
    answers cannot be told from prompts.
    """

    def __init__(
        self, prompt_format: PromptFormat, choices: Mapping[str, str], key: str = "label.choices"
    ) -> None:
        """`key`: of the job file, where the choices stand."""
        super().__init__(prompt_format)
        self._key = key
        self.texts = list(choices.values())
        self._remembered = lru_cache(maxsize=REMEMBERED)(self._choices_behind)
        for name, text in choices.items():
            self._check(name, text)
        # Behind a word, and behind what needs no space.
        frames = [prompt_format.answer_frame(end) for end in ("word", "(")]
        self.typical = [self._choices_behind((), frame, True) for frame in frames]
        names: dict[tuple[int, ...], str] = {}
        for name, ids in zip(choices, self.typical[0].token_ids, strict=True):
            if ids in names:
                raise ConfigError(f"{self._key}: {names[ids]!r} and {name!r} have the same tokens")
            names[ids] = name

    def behind(self, prompt_ids: Sequence[int]) -> tuple[list[int], Choices]:
        """The prompt as far as its ids stay, and the choices behind it."""
        frame, continues = self._frame(prompt_ids)
        begin = self._last_word(prompt_ids, frame)
        choices = self._remembered(tuple(prompt_ids[begin:]), frame, continues)
        return [*prompt_ids[:begin], *choices.shared], choices

    def _choices_behind(self, last_word: tuple[int, ...], frame: AnswerFrame, continues: bool) -> Choices:
        return self._behind(last_word, frame, continues, self.texts)

    def _check(self, name: str, text: str) -> None:
        if not text:
            raise ConfigError(f"{self._key}: the text of {name!r} is empty")
        if text != text.strip():
            raise ConfigError(f"{self._key}: the text of {name!r} has spaces around it, got {text!r}")
        try:
            ids = self._tokenizer.encode_trusted(text)
            self._tokenizer.mark(text)
        except RowError as error:
            raise ConfigError(f"{self._key}: {name!r}: {error.message}") from error
        if self._format.end_ids.intersection(ids):
            raise ConfigError(f"{self._key}: {name!r} holds a token that ends an answer, got {text!r}")
