"""Each of several weights multiplies its own rows, in every layout, and gives numbers of the rows' type."""

import pytest
import torch

from model.linear.choose import layout_for
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("laid_out", [True, False])
def test_rows_in_float32_have_sums_that_nothing_rounds(dtype, laid_out):
    layout = (layout_for(dtype, torch.device("cpu"), "none") if laid_out else None) or plain
    weight, x = drawn(97, 300).to(dtype), drawn(40, 300, seed=1).to(dtype)
    exact = x.double() @ weight.double().T
    product = alone(layout, weight)(x.float())
    assert product.dtype is torch.float32
    torch.testing.assert_close(product.double(), exact, atol=1e-3, rtol=0)
    assert (alone(layout, weight)(x).double() - exact).abs().max() > 1e-2, "else the test shows nothing"


def test_elsewhere_torch_multiplies_so():
    """Shapes and types alone: the device has no numbers. On a GPU itself: tests/gpu."""
    rows, weight = torch.empty(3, 32, device="meta"), torch.empty(1, 9, 32, device="meta").bfloat16()
    for x in (rows, rows.bfloat16()):
        product = plain(weight)(x, [3])
        assert (product.dtype, product.shape) == (x.dtype, (3, 9))
