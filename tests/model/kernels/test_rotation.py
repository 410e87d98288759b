import torch

from model.kernels.rotation import rotate
from model.network.rope import RoPE
from model.rope import Rope
from tests.model.kernels.same import drawn


def test_it_is_multiplication_by_a_complex_number_of_the_position():
    """Numbers i and i + hd / 2 of a head are the real and the imaginary part."""
    positions, qkv = torch.tensor([0, 1, 17, 4000]), drawn(4, 5, 16)
    q, k = rotate(qkv, RoPE(16, Rope(1e4))(positions, torch.float32), 3, 1)
    frequencies = 1e4 ** (-torch.arange(0, 16, 2).double() / 16)
    turn = torch.polar(torch.ones(4, 8).double(), positions[:, None] * frequencies)[:, None]
    expected = torch.view_as_real(torch.complex(*qkv[:, :4].double().chunk(2, -1)) * turn)
    expected = torch.cat(expected.unbind(-1), -1)
    torch.testing.assert_close(q.double(), expected[:, :3], atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(k.double(), expected[:, 3:], atol=1e-3, rtol=1e-3)
    assert torch.equal(q[0], qkv[0, :3]), "position 0 turns nothing"


def test_scores_depend_on_the_distance_alone():
    rope, qkv = RoPE(16, Rope(1e4)), drawn(1, 3, 16)

    def score(query, key):
        q, _ = rotate(qkv, rope(torch.tensor([query]), qkv.dtype), 1, 1)
        _, k = rotate(qkv, rope(torch.tensor([key]), qkv.dtype), 1, 1)
        return q.flatten() @ k.flatten()

    torch.testing.assert_close(score(9, 4), score(105, 100), atol=1e-4, rtol=1e-4)
    assert abs(score(9, 4) - score(9, 5)) > 1e-2
