import pytest
import torch
from torch.nn import functional as F

from model.network.layers import RMSNorm, RoPE, rotate


def drawn(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float32, 1e-6), (torch.bfloat16, 2e-2)])
def test_rms_norm_equals_torchs(dtype, close):
    norm, x = RMSNorm(32, eps=1e-5), (drawn(7, 32) * 100).to(dtype)
    norm.weight.copy_(drawn(32))
    expected = F.rms_norm(x.float(), (32,), norm.weight, eps=1e-5)
    assert norm.to(dtype)(x).dtype is dtype
    torch.testing.assert_close(norm(x).float(), expected, atol=close, rtol=close)


def test_rotation_is_multiplication_by_a_complex_number_of_the_position():
    """Numbers i and i + hd / 2 of a head are the real and the imaginary part."""
    positions, x = torch.tensor([0, 1, 17, 4000]), drawn(4, 3, 16)
    rotated = rotate(x, RoPE(16, theta=1e4)(positions, torch.float32))
    frequencies = 1e4 ** (-torch.arange(0, 16, 2).double() / 16)
    turn = torch.polar(torch.ones(4, 8).double(), positions[:, None] * frequencies)[:, None]
    expected = torch.view_as_real(torch.complex(*x.double().chunk(2, -1)) * turn)
    torch.testing.assert_close(rotated.double(), torch.cat(expected.unbind(-1), -1), atol=1e-3, rtol=1e-3)
    assert torch.equal(rotated[0], x[0]), "position 0 turns nothing"


def test_scores_depend_on_the_distance_alone():
    rope, q, k = RoPE(16, theta=1e4), drawn(1, 1, 16), drawn(2, 1, 16)[1:]

    def score(query, key):
        return (
            rotate(q, rope(torch.tensor([query]), q.dtype)).flatten()
            @ rotate(k, rope(torch.tensor([key]), k.dtype)).flatten()
        )

    torch.testing.assert_close(score(9, 4), score(105, 100), atol=1e-4, rtol=1e-4)
    assert abs(score(9, 4) - score(9, 5)) > 1e-2
