import torch

from model.kernels.swish import swish_product
from tests.model.kernels.same import drawn


def test_the_left_half_gates_the_right():
    gate, up = drawn(3, 5), drawn(3, 5, seed=1)
    torch.testing.assert_close(swish_product(torch.cat((gate, up), -1)), gate * gate.sigmoid() * up)
