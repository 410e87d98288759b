import torch

from model.kernels.kernels import PLAIN
from model.network.layers import RMSNorm, RoPE


def test_the_norm_adds_first():
    norm = RMSNorm(4, eps=1e-5)
    norm.weight.fill_(2.0)
    total, normed = norm(torch.full((1, 4), 3.0), torch.full((1, 4), -8.0), PLAIN)
    assert total.tolist() == [[-5.0] * 4]
    torch.testing.assert_close(normed, torch.full((1, 4), -2.0))


def test_both_halves_of_a_head_turn_by_the_same_angles():
    cos, sin = RoPE(8, theta=1e4)(torch.tensor([3]), torch.float32)
    angles = 3 * 1e4 ** (-torch.arange(0, 8, 2) / 8)
    torch.testing.assert_close(cos[0, 0], torch.cat((angles.cos(), angles.cos())))
    torch.testing.assert_close(sin[0, 0], torch.cat((-angles.sin(), angles.sin())))
