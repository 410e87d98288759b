import pytest
import torch

from model.network.attention import PaddedAttention

HEADS, KV_HEADS, HEAD_DIM = 4, 2, 8


@pytest.mark.parametrize("window", [None, 3])
def test_each_token_sees_the_earlier_ones_of_its_row_within_the_window(window):
    mask = torch.tensor([[False, False, True], [True, True, True], [False, True, True]])
    lengths = mask.sum(1).tolist()
    generator = torch.Generator().manual_seed(0)
    tokens = sum(lengths)
    q, k, v = (torch.randn(tokens, n, HEAD_DIM, generator=generator) for n in (HEADS, KV_HEADS, KV_HEADS))
    attended = PaddedAttention(mask, window)(0, q, k, v)
    start = 0
    for length in lengths:
        for token in range(start, start + length):
            seen = slice(max(start, token + 1 - (window or length)), token + 1)
            for head in range(HEADS):
                keys, values = (x[seen, head // (HEADS // KV_HEADS)] for x in (k, v))
                weights = (keys @ q[token, head] * HEAD_DIM**-0.5).softmax(0)
                torch.testing.assert_close(attended[token, head], weights @ values, atol=1e-5, rtol=1e-5)
        start += length
