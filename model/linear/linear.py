"""A linear layer whose weight may be laid out otherwise once it is loaded.

n rows, I input and O output features.
"""

import torch
from torch import Tensor, nn

from model.linear.layout import Layout, Multiply, multiply_plain


class Linear(nn.Module):
    """x W^T. The weight [O, I] is a parameter until it is laid out; then the layout holds a copy of it."""

    def __init__(self, outputs: int, inputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs), requires_grad=False)
        self._multiply: Multiply | None = None

    def lay_out(self, layout: Layout) -> None:
        self._multiply = layout(self.weight[None])
        del self.weight

    def forward(self, x: Tensor) -> Tensor:  # [n, I] -> [n, O]
        return self._multiply(x, [len(x)]) if self._multiply else multiply_plain(x, self.weight)
