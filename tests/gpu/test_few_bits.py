"""Weights in few bits on a GPU: its own kernel against the numbers of the plain path.

Needs torch, numpy, safetensors and pytest alone: `python -m pytest --noconftest -m gpu tests/gpu`.
"""

import pytest
import torch

from model.linear.codebook import Codebook, quantized_codebook
from model.linear.grid import Grid, quantized_grid
from model.linear.held import Unpacked, held, multiply_held

pytest.importorskip("triton", reason="comes with torch's builds for GPUs")
from model.linear.triton_held import TritonHeld

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DTYPES = [torch.bfloat16, torch.float16, torch.float32]
CLOSE = {"atol": 2e-2, "rtol": 2e-2}  # of numbers near 1: three of bfloat16's last places


def drawn(*shape, seed=0, dtype=torch.bfloat16):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to("cuda", dtype)


def few_bits():
    """Weights in all ways that codes and scales lie."""
    weight = drawn(200, 384, dtype=torch.float32)
    running = quantized_codebook(weight)
    in_groups = quantized_grid(weight, 4, 128)
    of_each_input = torch.arange(384, device="cuda") % 3
    return {
        "4 bits": in_groups,
        "8 bits": quantized_grid(weight, 8, 384),
        "short groups": quantized_grid(weight, 4, 8),
        "listed groups": Grid(4, in_groups.codes, in_groups.scales, in_groups.zeros, of_each_input),
        "nf4": quantized_codebook(weight),
        "running blocks": Codebook(
            running.codes[:, :-1], drawn(16, dtype=torch.float32), running.largest, 64
        ),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 40, 300])
def test_weights_in_few_bits_give_what_their_numbers_give(dtype, n):
    for name, weight in few_bits().items():
        one = held(weight, dtype)
        assert isinstance(one, TritonHeld), name
        inputs = weight.codes.shape[1]
        assert torch.equal(one(torch.eye(inputs, device="cuda")).T, weight.numbers()), name
        x = drawn(n, inputs, dtype=dtype, seed=n) / inputs**0.5
        torch.testing.assert_close(one(x), Unpacked(weight)(x), **CLOSE)


def test_experts_in_few_bits_give_what_their_numbers_give():
    several = [quantized_codebook(drawn(96, 128, seed=i)) for i in range(8)]
    sizes = [40, 0, 1, 3, 0, 200, 16, 0]
    x = drawn(sum(sizes), 128) / 128**0.5
    together = multiply_held([held(weight, x.dtype) for weight in several])
    expected = [Unpacked(weight)(part) for weight, part in zip(several, x.split(sizes), strict=True)]
    ends = torch.tensor(sizes, device="cuda").cumsum(0).int()
    torch.testing.assert_close(together.by_ends(x, ends), torch.cat(expected), **CLOSE)
