from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.kernels.compiled_kernels import compiled_operators
from model.linear.layout import plain
from model.linear.panels import in_int8_panels, in_panels, inputs_together, multiplies_int8, panels

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


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.sampled_from([0, 1, 15, 16, 17, 33, 49, 700]), min_size=1, max_size=3),
    st.sampled_from([16, 33, 64]),
    st.booleans(),
)
def test_pairs_meet_their_weights_by_vectors_and_by_tiles(sizes, inputs, tiles):
    if inputs_together(torch.bfloat16) == 1:
        pytest.skip("this processor does not multiply bfloat16")
    weights = drawn(len(sizes), 40, inputs, dtype=torch.bfloat16)
    x = drawn(sum(sizes), inputs, dtype=torch.bfloat16, seed=1)
    ends = torch.tensor(sizes).cumsum(0).tolist()
    product = torch.ops.mixtray_layer.multiply(x.float(), ends, in_panels(weights).numbers, None, 40, tiles)
    expected = plain(weights.double())(x.double(), sizes) if len(x) else torch.zeros(0, 40)
    torch.testing.assert_close(product, expected.float(), atol=1e-4, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_has_the_same_bits_whatever_is_beside_it(dtype):
    x = drawn(300, 48, dtype=dtype)
    multiply = panels(drawn(1, 40, 48, dtype=dtype, seed=1))
    together = multiply(x, [300])
    for rows in (slice(0, 1), slice(3, 8), slice(100, 231)):
        part = x[rows]
        assert torch.equal(multiply(part, [len(part)]), together[rows])


def test_what_does_not_fit_is_refused_not_read():
    operator, laid_out = torch.ops.mixtray_layer.multiply, in_panels(drawn(2, 40, 64)).numbers
    for width, ends, sentence in [
        (64, [1, 3], "end with the last row"),
        (64, [2], "each weight has an end"),
        (65, [1, 2], "as many features"),
        (0, [1, 2], "as many features"),
    ]:
        with pytest.raises(RuntimeError, match=sentence):
            operator(drawn(2, width), ends, laid_out, None, 40, True)
    if multiplies_int8():
        with pytest.raises(RuntimeError, match="have scales"):
            operator(drawn(2, 64), [1, 2], in_int8_panels(drawn(2, 40, 64)).numbers, None, 40, True)


def peak_memory():
    status = Path("/proc/self/status").read_text().split()
    return int(status[status.index("VmHWM:") + 1]) << 10


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no Linux")
@pytest.mark.parametrize("lay_out", [in_panels, in_int8_panels])
def test_laying_out_copies_one_weight_at_a_time(lay_out):
    """A layer's experts may have gigabytes, and the plan of memory counts no second copy of them."""
    weights = drawn(64, 512, 512)  # 64 MiB: large enough that malloc asks the system for each copy
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = peak_memory()
    laid_out = lay_out(weights)
    copies = 2 if lay_out is in_int8_panels else 1  # rounded, then in panels
    assert peak_memory() - before < copies * laid_out.numbers.nbytes + (16 << 20)
