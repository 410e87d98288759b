"""The hidden states of chosen layers at every token of a prompt: those that `Engine.load` was asked for.

m tokens of the prompt, K layers, D width.
"""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.requests.readout import Head, OnePassReadout

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor


class LayerStates(OnePassReadout):
    """The answer is float32 [m, K, D]."""

    head = Head.LAYERS

    def first_read(self, prompt_tokens: int) -> int:
        return 0

    def make_answer(self, outputs: "Tensor") -> NDArray[np.float32]:  # [m, K, D]
        states: NDArray[np.float32] = outputs.float().cpu().numpy().copy()
        return states
