import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.kernels.compiled_kernels import compiled_operators
from model.linear.layout import plain
from model.linear.panels import panels

pytestmark = pytest.mark.skipif(compiled_operators() is None, reason="there is no C++ compiler")


def drawn(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.sampled_from([0, 1, 5, 6, 7, 130]), min_size=1, max_size=4),
    st.sampled_from([1, 16, 33]),
    st.sampled_from([1, 8, 40, 100]),
    st.sampled_from([torch.float32, torch.bfloat16]),
)
def test_rows_meet_their_weights(sizes, inputs, outputs, dtype):
    weights, x = (
        drawn(len(sizes), outputs, inputs, dtype=dtype),
        drawn(sum(sizes), inputs, dtype=dtype, seed=1),
    )
    product = panels(weights)(x, sizes)
    assert (product.dtype, product.shape) == (dtype, (sum(sizes), outputs))
    if len(x):
        expected = plain(weights.double())(x.double(), sizes)
        tolerance = 1e-4 if dtype is torch.float32 else 5e-2
        torch.testing.assert_close(product.double(), expected, atol=tolerance, rtol=tolerance / 10)


def test_a_row_has_the_same_bits_whatever_is_beside_it():
    x = drawn(300, 48)
    multiply = panels(drawn(1, 40, 48, seed=1))
    together = multiply(x, [300])
    for rows in (slice(0, 1), slice(3, 8), slice(100, 231)):
        part = x[rows]
        assert torch.equal(multiply(part, [len(part)]), together[rows])
