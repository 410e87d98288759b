"""The logits of a classifier's labels: of a prompt's last token, or of all its tokens from one on.

m tokens that are read, C labels; of question answering C is 2, for an answer's begin and its end.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.requests.readout import Head, OnePassReadout

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor


class LabelLogits(OnePassReadout):
    """The answer is the logits, float64 [m, C]. `first`: the first token that is read; None: the last one."""

    head = Head.LABELS

    def __init__(self, first: int | None = None) -> None:
        self.first = first

    def first_read(self, prompt_tokens: int) -> int:
        return prompt_tokens - 1 if self.first is None else self.first

    def make_answer(self, outputs: "Tensor") -> NDArray[np.float64]:  # [m, C]
        logits: NDArray[np.float64] = outputs.double().cpu().numpy()
        return logits
