import torch

from model.linear.linear import Linear
from model.linear.packed import packed
from tests.model.linear.weights import drawn


def test_a_laid_out_layer_multiplies_as_before_and_has_no_parameter():
    layer, x = Linear(outputs=48, inputs=32), drawn(7, 32, seed=1)
    layer.weight.copy_(drawn(48, 32))
    before = layer(x)
    torch.testing.assert_close(before, x @ drawn(48, 32).T, atol=1e-5, rtol=1e-5)
    assert [name for name, _ in layer.named_parameters()] == ["weight"]
    layer.lay_out(packed)
    assert not list(layer.parameters()), "the copy alone is kept"
    torch.testing.assert_close(layer(x), before, atol=1e-5, rtol=1e-5)
