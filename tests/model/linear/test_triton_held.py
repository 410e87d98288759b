"""Held to the plain path; without a GPU in Triton's interpreter."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from triton.language import bfloat16, float32
from triton.runtime.interpreter import InterpreterBuilder

from model.linear.held import Unpacked, multiply_held
from model.linear.triton_held import TritonHeld
from tests.model.linear.few_bits import DTYPES, few_bits, weights

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.fixture(autouse=True, scope="module")
def bfloat16_is_multiplied():
    """The interpreter's product takes bfloat16's bits for whole numbers, so it is given float32's."""
    before = InterpreterBuilder.create_dot

    def create_dot(builder, a, b, *others):
        if a.dtype.scalar is bfloat16:
            shapes = [type(a.dtype)(float32, a.dtype.shape) if a.dtype.is_block() else float32] * 2
            a, b = (builder.create_fp_ext(x, shape) for x, shape in zip((a, b), shapes, strict=True))
        return before(builder, a, b, *others)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InterpreterBuilder, "create_dot", create_dot)
        yield


def rows(n, weight, dtype=torch.float32):
    generator = torch.Generator().manual_seed(n)
    return torch.randn(n, weight.codes.shape[1], generator=generator).to(DEVICE, dtype)


def close(found, expected):
    """Each product is rounded once; sums in float32 have another order."""
    assert found.dtype is expected.dtype
    last_place = max(torch.finfo(expected.dtype).eps, 2e-6)
    most = float(expected.abs().max()) if expected.numel() else 0.0
    torch.testing.assert_close(found, expected, rtol=2 * last_place, atol=last_place * most)


@given(weights())
@settings(max_examples=25)
def test_numbers_are_those_of_the_plain_path_to_the_bit(weight):
    """Each row chooses one input, so that a product is a number."""
    one = torch.eye(weight.codes.shape[1], device=DEVICE)
    assert torch.equal(TritonHeld.of(weight)(one).T, weight.numbers())


@given(weights(), st.sampled_from([0, 1, 5, 17, 70]), st.sampled_from(DTYPES))
@settings(max_examples=25)
def test_products_are_those_of_the_plain_path(weight, n, dtype):
    x = rows(n, weight, dtype)
    close(TritonHeld.of(weight)(x), Unpacked(weight)(x))


@given(weights(several=True), st.data())
@settings(max_examples=15)
def test_experts_in_one_kernel_are_those_one_after_the_other(several, data):
    sizes = data.draw(
        st.lists(st.sampled_from([0, 1, 3, 16, 40]), min_size=len(several), max_size=len(several))
    )
    together = multiply_held([*map(TritonHeld.of, several)])
    assert isinstance(together, TritonHeld)
    x = rows(sum(sizes), several[0])
    ends = torch.tensor(sizes, device=DEVICE).cumsum(0).int()
    expected = [Unpacked(one)(part) for one, part in zip(several, x.split(sizes), strict=True)]
    close(together.by_ends(x, ends), torch.cat(expected))
    if sum(sizes):
        close(together(x, sizes), torch.cat(expected))


def test_experts_that_lie_otherwise_are_multiplied_one_after_the_other():
    several = [few_bits("grid", 6, 2, 32), few_bits("grid", 6, 4, 16)]
    multiply = multiply_held([*map(TritonHeld.of, several)])
    assert not isinstance(multiply, TritonHeld)
    x = rows(5, several[0])
    close(multiply(x, [2, 3]), torch.cat([Unpacked(several[0])(x[:2]), Unpacked(several[1])(x[2:])]))


def test_rows_that_do_not_lie_side_by_side():
    weight = few_bits("codebook", 7, 2, 64, narrow=True)
    x = rows(3, weight).T.contiguous().T
    close(TritonHeld.of(weight)(x), Unpacked(weight)(x))
