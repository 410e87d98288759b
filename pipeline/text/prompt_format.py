"""How a checkpoint writes prompts and answers in tokens: the one place that prompts, choices, the ends of
answers and their texts are derived from.

There are three kinds: plain text (here), Mistral's own formats, and chat templates that are rendered.
`pipeline.text.choose_format` says which one a job has.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from pipeline.text.messages import Message
from pipeline.text.tokenization import Tokenizer

# What opens brackets, quotes and Spanish sentences: a word follows without a space.
OPENING = tuple("([{<\u2018\u201a\u201c\u201e\u00ab\u2039\u300c\u300e\uff08\u00bf\u00a1")
STRAIGHT_QUOTES = tuple("\"'`")


@dataclass(frozen=True)
class AnswerFrame:
    """What stands around an answer, as trusted text: see `Tokenizer.encode_trusted`."""

    before: str  # between the prompt and the answer
    behind: str  # between the answer and the token that ends it
    alone: bool = False  # the answer is encoded as a text of its own


class PromptFormat(ABC):
    """Prompts in one format, with one tokenizer.

    source   where the format comes from, for people
    chat     whether prompts are conversations
    end_ids  tokens that end an answer, the checkpoint's own among them
    """

    chat = True
    as_given = False  # prompts are token ids of the job's own, which stay as they are

    def __init__(self, tokenizer: Tokenizer, source: str, end_ids: frozenset[int]) -> None:
        self.tokenizer = tokenizer
        self.source = source
        self.end_ids = end_ids

    def within(self, vocab_size: int) -> Self:
        """The same format, for a model of this vocabulary.

        In plain text, ends that the model has no token for are left out: it can't write them. A chat format
        keeps them, so that a tokenizer of another model is noticed.
        """
        if not self.chat:
            self.end_ids = frozenset(end for end in self.end_ids if end < vocab_size)
        return self

    @abstractmethod
    def encode(self, messages: Sequence[Message]) -> list[int]:
        """Ids of a conversation up to where the assistant speaks. What rows wrote in it is marked."""

    @abstractmethod
    def answer_frame(self, prompt_end: str) -> AnswerFrame:
        """What stands around the answer to a prompt that ends in this text; "" if it ends in a token."""

    @property
    def answer_opening(self) -> str:
        """The text with which a decoded answer begins before the answer itself does; often one space."""
        return ""


class PlainFormat(PromptFormat):
    """The prompt's text behind BOS, or what else the tokenizer puts there, and the answer behind one space.

    Behind a control or added token, such as an [/INST] of the author's own, an answer is a text by itself, as
    mistral-common encodes it: the dummy space, where the tokenizer has one, stands for that one space.
    """

    chat = False

    def __init__(self, tokenizer: Tokenizer, end_ids: frozenset[int], as_given: bool = False) -> None:
        source = "token ids as they are given" if as_given else "plain text, without a chat format"
        super().__init__(tokenizer, source, end_ids | {tokenizer.eos_id})
        self.as_given = as_given

    def encode(self, messages: Sequence[Message]) -> list[int]:
        [message] = messages
        ids = self.tokenizer.encode_trusted(message.content)
        before = [*self.tokenizer.around.before]
        return ids if ids[: len(before)] == before else [*before, *ids]

    def answer_frame(self, prompt_end: str) -> AnswerFrame:
        return AnswerFrame("" if _opens(prompt_end) else " ", "", alone=not prompt_end)


def _opens(text: str) -> bool:
    """Whether what comes next stands right behind the text: a white space, an opening bracket or quote.

    A straight quote opens where it begins a word.
    """
    last, before = text[-1:], text[-2:-1]
    if last in STRAIGHT_QUOTES:
        return not before or before.isspace() or before in OPENING
    return not last or last.isspace() or last in OPENING
