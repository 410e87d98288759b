"""A prompt as one vector: of the hidden states after the final norm, the last one or the mean of all.

m tokens that are read, D width.
"""

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.requests.readout import Head, OnePassReadout

if TYPE_CHECKING:  # processes that only make requests and read answers must start without torch
    from torch import Tensor

Pooling = Literal["last", "mean"]


class PooledStates(OnePassReadout):
    """The answer is the vector, float32 [D]; `normalize` makes its length 1."""

    head = Head.HIDDEN

    def __init__(self, pooling: Pooling = "last", normalize: bool = False) -> None:
        self.pooling = pooling
        self.normalize = normalize

    def first_read(self, prompt_tokens: int) -> int:
        return 0 if self.pooling == "mean" else prompt_tokens - 1

    def make_answer(self, outputs: "Tensor") -> NDArray[np.float32]:  # [m, D] -> [D]
        states = outputs.float()
        pooled = states.mean(0) if self.pooling == "mean" else states[-1]
        vector: NDArray[Any] = pooled.double().cpu().numpy()
        if self.normalize:
            vector = vector / max(float(np.linalg.norm(vector)), np.finfo(np.float64).tiny)
        return vector.astype(np.float32)
