import pytest
import torch

from model.sampling.likeliest import likeliest, likeliest_one


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("count", [1, 7, 499, 500, 600])
def test_they_are_those_of_a_stable_sort(dtype, count):
    """Of numbers many of which are equal, of both signs, among them both zeros and infinities."""
    logits = (torch.randn(9, 500, generator=torch.Generator().manual_seed(1)) * 30).round().div(8).to(dtype)
    logits[:, ::7] = -0.0
    logits[:, 1::7] = 0.0
    logits[3, 5], logits[4, 6] = float("inf"), float("-inf")
    values, tokens = likeliest(logits, count)
    expected = logits.sort(dim=-1, descending=True, stable=True)
    assert torch.equal(values, expected.values[:, :count])
    assert torch.equal(tokens, expected.indices[:, :count])


@pytest.mark.parametrize("vocabulary", [1, 100, 128, 640])
def test_the_likeliest_one_is_the_first_of_the_largest(vocabulary):
    logits = torch.randn(50, vocabulary, generator=torch.Generator().manual_seed(2)).mul(3).round()
    logits[3], logits[4] = float("-inf"), 0.0
    logits[5, -1] = float("inf")
    expected = logits.sort(dim=-1, descending=True, stable=True).indices[:, 0]
    assert torch.equal(likeliest_one(logits), expected)
