"""How likely the last tokens of a prompt are, each behind all that stand before it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from model.requests.readout import AskedTokens, Head, OnePassReadout

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor


class TextScores(OnePassReadout):
    """The answer is each token's log-probability over the whole vocabulary: list[float].

    `scored` are the last tokens of the prompt; at least one stands before them.
    """

    head = Head.LOGPROBS

    def __init__(self, scored: Sequence[int]) -> None:
        self.asked = AskedTokens(np.arange(len(scored)), np.array(scored, dtype=np.int64))

    def first_read(self, prompt_tokens: int) -> int:
        return prompt_tokens - len(self.asked) - 1

    def make_answer(self, outputs: "Tensor") -> list[float]:  # log-probabilities of what is asked
        logprobs: list[float] = outputs.tolist()
        return logprobs
