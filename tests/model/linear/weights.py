"""Random weights and rows, and one weight multiplied in a layout, for the tests of all layouts."""

from collections.abc import Callable

import torch

from model.linear.layout import Layout

SHAPES = [(48, 32), (97, 24), (5, 301), (1, 1)]


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def alone(layout: Layout, weight: torch.Tensor) -> Callable[[torch.Tensor], torch.Tensor]:
    multiply = layout(weight[None])
    return lambda x: multiply(x, [len(x)])
