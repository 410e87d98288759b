import pytest
import torch
from torch.nn import functional as F

from model.linear.codebook import quantized_codebook
from model.linear.grid import Grid, quantized_grid
from model.linear.held import Int4, Unpacked, held, multiply_held


def unsymmetric(outputs, inputs, group):
    codes = torch.randint(0, 16, (outputs, inputs), dtype=torch.uint8)
    groups = inputs // group
    return Grid(4, codes, torch.rand(outputs, groups), torch.randint(0, 16, (outputs, groups)).float())


@pytest.mark.parametrize(("outputs", "inputs", "group"), [(16, 32, 32), (48, 256, 64), (64, 256, 128)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_torch_s_kernel_and_the_plain_path_agree(outputs, inputs, group, dtype):
    weight = unsymmetric(outputs, inputs, group)
    x = torch.randn(5, inputs).to(dtype)
    fast, slow = held(weight, dtype), Unpacked(weight)
    assert isinstance(fast, Int4)
    expected = F.linear(x.float(), weight.numbers())
    tolerance = 1e-5 if dtype is torch.float32 else 2e-2
    for one in (fast, slow):
        assert one(x).dtype is dtype
        torch.testing.assert_close(
            one(x).float(), expected, rtol=tolerance, atol=tolerance * expected.abs().max()
        )


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
