import pytest
import torch
from torch.nn import functional as F

from model.linear.codebook import quantized_codebook
from model.linear.grid import Grid, quantized_grid
from model.linear.held import Int4, Unpacked, held, multiply_held


def unsymmetric(outputs, inputs, group):
    """Scales in 16 bits, as uploads store them: the numbers are exact in float32."""
    codes = torch.randint(0, 16, (outputs, inputs), dtype=torch.uint8)
    groups = inputs // group
    scales = torch.rand(outputs, groups).half().float()
    return Grid(4, codes, scales, torch.randint(0, 16, (outputs, groups)).float())


@pytest.mark.parametrize(("outputs", "inputs", "group"), [(16, 32, 32), (48, 256, 64), (64, 256, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_torch_s_kernel_and_the_plain_path_agree(outputs, inputs, group, dtype):
    """A product is rounded once, from a sum in float32; rows in float32 are for that sum."""
    weight = unsymmetric(outputs, inputs, group)
    x = torch.randn(5, inputs).to(dtype)
    fast, slow = held(weight, dtype), Unpacked(weight)
    assert isinstance(fast, Int4)
    exact = F.linear(x.double(), weight.numbers().double())
    assert fast(x).dtype is slow(x).dtype is dtype
    epsilon, most = torch.finfo(dtype).eps, exact.abs().max()
    torch.testing.assert_close(fast(x).double(), exact, rtol=epsilon, atol=1e-5 * most)
    torch.testing.assert_close(slow(x).double(), exact, rtol=epsilon, atol=max(1e-5, 2 * epsilon) * most)
    torch.testing.assert_close(fast(x.float()).double(), exact, rtol=1e-5, atol=1e-5 * most)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numbers_in_torch_s_kernel_are_rounded_once(dtype):
    """To the bit, and what is 0 stays 0: in 16 bits the kernel rounds scales and offsets each for itself."""
    weight = unsymmetric(48, 128, 64)
    numbers = weight.numbers()
    read = held(weight, dtype)(torch.eye(128, dtype=dtype)).T
    assert torch.equal(read, numbers.to(dtype))
    assert (numbers == 0).any()
    assert torch.equal(read == 0, numbers == 0)


def test_what_torch_s_kernel_does_not_take_is_unpacked():
    for weight in (
        unsymmetric(24, 32, 32),
        unsymmetric(16, 32, 16),
        quantized_grid(torch.randn(16, 64), 8, 64),
    ):
        one, x = held(weight, torch.float32), torch.randn(3, weight.codes.shape[1])
        assert isinstance(one, Unpacked)
        assert torch.equal(one(x), F.linear(x, weight.numbers()))


@pytest.mark.parametrize(
    "weight", [quantized_grid(torch.randn(6, 128), 4, 64), quantized_codebook(torch.randn(6, 128))]
)
def test_codes_take_half_a_byte(weight):
    one = Unpacked(weight)
    assert torch.equal(one.numbers(), weight.numbers())
    assert one.nbytes < 6 * 128 / 2 + 6 * 2 * 8 + 16 * 4 + 1


def test_experts_meet_their_own_rows():
    weights = [quantized_codebook(torch.randn(6, 64)) for _ in range(3)]
    x = torch.randn(5, 64)
    outputs = multiply_held([held(weight, torch.float32) for weight in weights])(x, [2, 0, 3])
    expected = torch.cat([F.linear(x[:2], weights[0].numbers()), F.linear(x[2:], weights[2].numbers())])
    assert torch.equal(outputs, expected)
