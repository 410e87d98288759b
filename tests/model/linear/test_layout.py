"""Each of several weights multiplies its own rows, in every layout."""

import pytest
import torch

from model.linear.int8 import int8
from model.linear.layout import plain
from model.linear.packed import packed
from tests.model.linear.weights import alone, drawn


@pytest.mark.parametrize("layout", [plain, packed, int8])
@pytest.mark.parametrize("sizes", [[3, 0, 40, 1], [0, 0, 0, 2], [33, 7, 67, 7]])
def test_each_of_several_weights_multiplies_its_own_rows(layout, sizes):
    weights, x = drawn(4, 48, 32), drawn(sum(sizes), 32, seed=1)
    apart = [
        alone(layout, weight)(rows) for weight, rows in zip(weights, x.split(sizes), strict=True) if len(rows)
    ]
    assert torch.equal(layout(weights)(x, sizes), torch.cat(apart))
