"""What a row wants of the model and how it is read: the contract of the engine with every kind of answer.

The engine computes hidden states; a readout makes an answer of some of them. `NextToken` generates, and
`ChoiceScores` scores given continuations. The engine itself knows no kind of readout.

To add one that needs a single forward pass, write a class, anywhere:

    class Entropy(OnePassReadout):
        \"\"\"How uncertain the model is of the next token, in nats.\"\"\"

        def make_answer(self, outputs: Tensor) -> float:  # logits [1, V] of the prompt's last token
            return float(torch.distributions.Categorical(logits=outputs[0]).entropy())

    [completion] = engine.run([Request("row", prompt, readout=Entropy())])
    completion.answer

Override what differs from the defaults: `head` for hidden states in place of logits; `first_read` to read
more of the prompt than its last token; `tree` to compute tokens behind the prompt and read those too. The
logits of a large tree take much memory: the head LOGPROBS keeps only the log-probabilities of tokens that are
`asked` for. `parts` divides what takes more than one forward pass.

A readout that feeds tokens back, as generation does, derives from `Readout` itself and brings a `Reading`.
A new kind of output needs a head: one more member of `Head`, and its module in `model.execution.executor`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from model.config import ModelConfig
from model.requests.token_tree import NO_TREE, TokenTree
from model.trained_head import HeadKind

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor


class Head(StrEnum):
    """What is computed from a token's hidden state, after the final norm."""

    VOCABULARY = "vocabulary"  # logits [V]
    HIDDEN = "hidden"  # the normalised hidden state itself [D]
    # Log-probabilities, float64 on the host, of the tokens that the readout asks for: one for each of those,
    # however many tokens are read.
    LOGPROBS = "logprobs"
    # Hidden states of the layers that the engine was loaded to give [K, D]: see `Engine.load`.
    LAYERS = "layers"
    LABELS = "labels"  # of a classifier: logits of its labels; of question answering: of a begin and an end

    def is_of(self, trained: HeadKind) -> bool:
        """Whether a checkpoint with that head gives these."""
        if self is Head.LABELS:
            return trained not in (HeadKind.LANGUAGE, HeadKind.NONE)
        return trained is HeadKind.LANGUAGE or self in (Head.HIDDEN, Head.LAYERS)


@dataclass(frozen=True, eq=False)
class AskedTokens:
    """Q tokens of the vocabulary, each with the token that is read whose successor it would be."""

    reads: NDArray[np.int64]  # [Q] ascending; 0: the first token that is read
    token_ids: NDArray[np.int64]  # [Q]

    def __len__(self) -> int:
        return len(self.reads)

    def of_part(self, begin: int, end: int) -> "AskedTokens":
        """What is asked of the tokens `begin` to `end` of those that are read, if these are read alone."""
        first, last = np.searchsorted(self.reads, (begin, end))
        return AskedTokens(self.reads[first:last] - begin, self.token_ids[first:last])


NOTHING_ASKED = AskedTokens(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))


class Readout(ABC):
    """What one row wants. It may be shared by many rows and holds nothing of any of them."""

    head: Head = Head.VOCABULARY
    tree: TokenTree = NO_TREE  # computed and read behind the prompt
    asked: AskedTokens = NOTHING_ASKED  # under the head LOGPROBS
    lead: Sequence[int] = ()  # of one of `parts`: with what its prompt goes on behind the request's
    reach: int | None = None  # and positions that it takes behind the request's; None: those of the whole

    def first_read(self, prompt_tokens: int) -> int:
        """The index in the prompt of the first token that is read; all tokens behind it are read too."""
        return prompt_tokens - 1

    @property
    def kept_tokens(self) -> int:
        """How many tokens the row may generate that are fed back into the model; 0: it needs no cache."""
        return 0

    @property
    def may_end_early(self) -> bool:
        """Whether the row may end before it has generated all of `kept_tokens`."""
        return True

    @property
    def further_tokens(self) -> int:
        """Positions that the row needs behind its prompt."""
        return max(self.tree.depth, self.kept_tokens)

    @property
    def named_token_ids(self) -> Iterable[int]:
        """Token ids that the readout looks up, beside the tree's: each must be in the vocabulary."""
        return map(int, self.asked.token_ids)

    @property
    def in_steps(self) -> bool:
        """Whether the prompt's tokens may be read in several steps, where one step would take too many."""
        return False

    @property
    def parts(self) -> "Sequence[Readout]":
        """Readouts of one forward pass each, where one pass would take too much memory for all of it."""
        return [self]

    def join(self, answers: Sequence[Any]) -> Any:
        """The answers of all parts -> the answer."""
        [answer] = answers
        return answer

    @abstractmethod
    def start(self, stream: str, config: ModelConfig) -> "Reading":
        """Begin to read a row; `stream` names its random stream, for readouts that draw numbers."""


class Reading(ABC):
    """The state of one row's readout while the row runs. Rows of one class are read together in a step."""

    answer: Any = None  # what the row's Completion will hold; None as long as there is none
    next_token: int  # where the row goes on: the token that the next step feeds

    @classmethod
    def reduce(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> "Tensor | None":
        """Numbers of one step's outputs that are all that `take` needs, [readings, ...]; None: it needs more.

        They come to the host in one copy for all rows of the step, in float64. Then `take` gets them in place
        of the outputs, of those rows whose outputs are neither NaN nor infinite.
        """
        return None

    @classmethod
    @abstractmethod
    def take(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> list[bool]:
        """Read one step's outputs, [M, ...] of a head, and say of each row whether it has ended.

        Reading i reads `outputs[parts[i]]`. Rows of other kinds may have outputs there, too. Readings come in
        the order of their outputs.
        """

    @classmethod
    def take_some(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> None:
        """Read the outputs of rows of which more is read in the steps to come: see `Readout.in_steps`."""
        raise NotImplementedError(f"{cls.__name__} reads all tokens of the prompt in one step")


class OnePassReadout(Readout):
    """A readout that ends with the row's prefill."""

    @property
    def in_steps(self) -> bool:
        return not self.tree.token_ids

    @abstractmethod
    def make_answer(self, outputs: "Tensor") -> Any:
        """The head's outputs [m, ...] of the row's m tokens that are read -> the answer.

        Those are the prompt's from `first_read` on, then the tree's nodes. Take out of the tensor what the
        answer needs: its memory may be used again in the next step. What a prompt of several steps gives is
        on the host.
        """

    def start(self, stream: str, config: ModelConfig) -> Reading:
        return _OnePassReading(self)


class _OnePassReading(Reading):
    def __init__(self, readout: OnePassReadout) -> None:
        self.readout = readout
        self._before: list[Tensor] = []  # of earlier steps, on the host: devices have no room for them

    @classmethod
    def take(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> list[bool]:
        import torch

        for reading, part in zip(readings, parts, strict=True):
            of_row = outputs[part]
            if reading._before:
                of_row = torch.cat([*reading._before, of_row.cpu()])
                reading._before = []
            reading.answer = reading.readout.make_answer(of_row)
        return [True] * len(readings)

    @classmethod
    def take_some(cls, readings: Sequence[Self], outputs: "Tensor", parts: Sequence[slice]) -> None:
        for reading, part in zip(readings, parts, strict=True):
            reading._before.append(outputs[part].to("cpu", copy=True))
