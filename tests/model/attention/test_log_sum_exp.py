"""Attention to parts of the keys, merged by its log-sum-exp, is attention to all of them."""

import pytest
import torch

from model.attention.log_sum_exp import attend, attend_in_blocks, attend_tokens, bias_of, merge


def drawn(*shapes):
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(*shape, generator=generator) for shape in shapes]


@pytest.mark.parametrize("first", [1, 7, 19])
def test_parts_merge_to_the_whole(first):
    q, k, v = drawn((5, 4, 16), (20, 2, 16), (20, 2, 16))
    whole, whole_lse = attend_tokens(q, k, v)
    one, one_lse = attend_tokens(q, k[:first], v[:first])
    other, other_lse = attend_tokens(q, k[first:], v[first:])
    torch.testing.assert_close(merge(one, one_lse, other, other_lse), whole, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(torch.logaddexp(one_lse, other_lse), whole_lse, atol=1e-5, rtol=1e-5)


def test_log_sum_exp_is_that_of_the_scaled_scores():
    q, k, v = drawn((3, 4, 16), (6, 2, 16), (6, 2, 16))
    scores = torch.einsum("nhd,shd->nhs", q, k.repeat_interleave(2, 1)) / 4
    attended, lse = attend_tokens(q, k, v)
    torch.testing.assert_close(lse, scores.logsumexp(-1), atol=1e-5, rtol=1e-5)
    expected = torch.einsum("nhs,shd->nhd", scores.softmax(-1), v.repeat_interleave(2, 1))
    torch.testing.assert_close(attended, expected, atol=1e-5, rtol=1e-5)


def test_a_bias_hides_what_is_not_seen():
    bias = bias_of(torch.tensor([[True, False]]), torch.float32)
    assert bias.tolist() == [[0.0, float("-inf")]]
    q, k, v = drawn((1, 2, 16), (2, 2, 16), (2, 2, 16))
    torch.testing.assert_close(attend_tokens(q, k, v, bias=bias[None, None])[0], v[:1])


@pytest.mark.parametrize("causal", [False, True])
def test_plain_attention_in_blocks_equals_torchs(causal, monkeypatch):
    monkeypatch.setattr("model.attention.log_sum_exp._QUERIES", 5)
    generator = torch.Generator().manual_seed(4)
    q, k, v = (torch.randn(2, heads, 17, 16, generator=generator) for heads in (4, 2, 2))
    masked = bias_of(torch.rand(2, 1, 17, 17, generator=generator) < 0.5, q.dtype)
    masked.diagonal(dim1=2, dim2=3).fill_(0.0)
    for bias in (None,) if causal else (None, masked, masked[:, :, :1]):
        blocks, whole = attend_in_blocks(q, k, v, causal, bias), attend(q, k, v, causal=causal, bias=bias)
        torch.testing.assert_close(blocks, tuple(whole), atol=1e-5, rtol=1e-5)
