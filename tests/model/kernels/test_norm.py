import pytest
import torch
from torch.nn import functional as F

from model.kernels.norm import add_norm
from tests.model.kernels.same import drawn


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_it_is_torchs_rms_norm_of_the_sum(dtype, close):
    x, update, weight = (drawn(7, 32) * 100).to(dtype), drawn(7, 32, seed=1, dtype=dtype), drawn(32)
    total, normed = add_norm(x, update, weight.to(dtype), 1e-5)
    assert normed.dtype is dtype
    assert torch.equal(total, x + update)
    expected = F.rms_norm(total.float(), (32,), weight, eps=1e-5)
    torch.testing.assert_close(normed.float(), expected, atol=close, rtol=close)


def test_without_an_update_it_is_the_norm_of_x():
    x = drawn(3, 8)
    total, normed = add_norm(x, None, torch.ones(8), 1e-5)
    assert total is x
    assert torch.equal(normed, add_norm(torch.zeros(3, 8), x, torch.ones(8), 1e-5)[1])
