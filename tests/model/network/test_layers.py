import torch

from model.kernels.kernels import PLAIN
from model.network.layers import RMSNorm


def test_the_norm_adds_first():
    norm = RMSNorm(4, eps=1e-5)
    norm.weight.fill_(2.0)
    total, normed = norm(torch.full((1, 4), 3.0), torch.full((1, 4), -8.0), PLAIN)
    assert total.tolist() == [[-5.0] * 4]
    torch.testing.assert_close(normed, torch.full((1, 4), -2.0))
