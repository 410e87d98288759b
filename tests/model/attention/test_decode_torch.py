"""Decoding rows' attention to their pages, in torch's operators, against a loop over rows and heads."""

from types import SimpleNamespace

import pytest
import torch

from model.attention.decode_torch import TorchDecode
from model.scheduling.batch import Phase, Row
from model.sliding_window import SlidingWindow
from tests.model.attention.given_back import without_passed

PAGES, KV_HEADS, HEADS, HEAD_DIM = 40, 2, 6, 16
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 1e-1, torch.float16: 1e-2}  # of scores up to some 30


def cache_of(page_size, window=None):
    window, cpu = SlidingWindow(window, page_size), torch.device("cpu")
    return SimpleNamespace(page_size=page_size, kv_heads=KV_HEADS, device=cpu, window=window)


def one_by_one(cache, rows, q, keys, values):
    attended, lse = torch.empty(q.shape, dtype=torch.float64), torch.empty(q.shape[:2], dtype=torch.float64)
    for i, row in enumerate(rows):
        seen = slice(cache.window.first_seen(row.trunk), row.trunk)
        for head in range(HEADS):
            group = head // (HEADS // KV_HEADS)
            k, v = (pages[row.pages, group].flatten(0, 1)[seen].double() for pages in (keys, values))
            scores = k @ q[i, head].double() * HEAD_DIM**-0.5
            attended[i, head], lse[i, head] = scores.softmax(0) @ v, scores.logsumexp(0)
    return attended, lse


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("page_size", [1, 16, 32])
@pytest.mark.parametrize("window", [None, 1, 21])
@pytest.mark.parametrize("scattered", [False, True])
def test_rows_read_their_own_places_and_nothing_else(dtype, page_size, window, scattered):
    generator = torch.Generator().manual_seed(page_size)
    counts = [1, 3, 2, 4]
    order = torch.randperm(PAGES, generator=generator) if scattered else torch.arange(5, PAGES)
    pages = [part.tolist() for part in order[: sum(counts)].split(counts)]
    trunks = [1, 3 * page_size, page_size + 1, 4 * page_size - page_size // 2]
    rows = [Row(Phase.DECODE, i, t - 1, [5], pages[i]) for i, t in enumerate(trunks)]
    keys, values = torch.full((2, PAGES, KV_HEADS, page_size, HEAD_DIM), torch.nan, dtype=dtype)
    for of_row in pages:
        keys[of_row], values[of_row] = torch.randn(
            2, len(of_row), KV_HEADS, page_size, HEAD_DIM, generator=generator
        ).to(dtype)
    keys[pages[1]] *= 9  # one row's scores are far above another's
    q = torch.randn(len(rows), HEADS, HEAD_DIM, generator=generator).to(dtype)
    cache = cache_of(page_size, window)
    expected, expected_lse = one_by_one(cache, rows, q, keys, values)
    attended, lse = TorchDecode(cache, rows).attend(q, keys, values)
    assert attended.dtype is dtype
    torch.testing.assert_close(attended.double(), expected, atol=CLOSE[dtype], rtol=CLOSE[dtype])
    torch.testing.assert_close(lse.double(), expected_lse, atol=10 * CLOSE[dtype], rtol=CLOSE[dtype])
    again, again_lse = TorchDecode(cache, without_passed(cache, rows)).attend(q, keys, values)
    assert torch.equal(again, attended)
    assert torch.equal(again_lse, lse)


def test_in_float16_large_values_that_all_weigh_the_same_stay_what_they_are():
    keys = torch.zeros(PAGES, KV_HEADS, 32, HEAD_DIM, dtype=torch.float16)
    values = torch.full_like(keys, 60_000.0)
    rows = [Row(Phase.DECODE, 0, 127, [5], [3, 4, 5, 6])]
    attended, _ = TorchDecode(cache_of(32), rows).attend(keys.new_ones(1, HEADS, HEAD_DIM), keys, values)
    torch.testing.assert_close(attended, torch.full_like(attended, 60_000.0), rtol=1e-3, atol=0)
