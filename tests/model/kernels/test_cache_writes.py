"""New keys and values by torch's own operators: each kept token to its own place, and to no other."""

import pytest
import torch

from model.kernels.cache_writes import LayerCache, Writes, indices_of

KV_HEADS, PAGE_SIZE, HEAD_DIM = 2, 4, 3


def test_within_a_page_the_heads_follow_each_other_each_with_all_places():
    places = torch.tensor([13, 4])
    assert indices_of(places, KV_HEADS, PAGE_SIZE).tolist() == [[25, 29], [8, 12]]


@pytest.mark.parametrize(
    ("places", "tokens"),
    [
        ([5, 0, 11], None),
        ([5, -1, 11], torch.tensor([0, 2])),
        ([-1, -1, -1], torch.tensor([], dtype=torch.int64)),
    ],
)
def test_what_is_kept_lies_in_its_place(places, tokens):
    keys, values = (torch.zeros(3, KV_HEADS, PAGE_SIZE, HEAD_DIM) for _ in range(2))
    k = 1 + torch.arange(3 * KV_HEADS * HEAD_DIM).view(3, KV_HEADS, HEAD_DIM).float()
    LayerCache(keys, values, Writes(KV_HEADS, PAGE_SIZE, torch.tensor(places), tokens)).store(k, -k)
    expected = torch.zeros_like(keys)
    for token, place in enumerate(places):
        if place >= 0:
            expected[place // PAGE_SIZE, :, place % PAGE_SIZE] = k[token]
    assert torch.equal(keys, expected)
    assert torch.equal(values, -expected)


def test_a_page_that_is_begun_is_cleared_before():
    keys, values = (torch.full((2, 1, PAGE_SIZE, HEAD_DIM), torch.nan) for _ in range(2))
    writes = Writes(1, PAGE_SIZE, torch.tensor([4]), opened=torch.tensor([1]))
    LayerCache(keys, values, writes).store(torch.ones(1, 1, HEAD_DIM), torch.ones(1, 1, HEAD_DIM))
    for pages in (keys, values):
        assert pages[1, 0, 0].tolist() == [1, 1, 1]
        assert (pages[1, 0, 1:] == 0).all()
        assert pages[0].isnan().all()
