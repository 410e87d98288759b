"""Where keys and values go: each token of a row to its own place, and to no other."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.attention.kv_cache import KVCache, writes_of
from model.kernels.cache_writes import LayerCache
from model.machine.to_device import to_device
from model.network.tensor_parallel import TensorParallel
from model.requests.choice_scores import ChoiceScores
from model.scheduling.batch import Phase, Row

PAGES, PAGE_SIZE, KV_HEADS, HEAD_DIM = 5, 4, 2, 3


def cache_of(fused=False, window=None, rank=0, size=1):
    config = SimpleNamespace(num_kv_heads=KV_HEADS, head_dim=HEAD_DIM, num_layers=1, sliding_window=window)
    return KVCache(
        config, PAGES, PAGE_SIZE, TensorParallel(rank, size), torch.float32, torch.device("cpu"), fused
    )


def test_new_tokens_go_to_their_rows_pages_and_nodes_nowhere():
    cache = cache_of()
    tree = ChoiceScores.of([[1, 2]]).tree
    rows = [
        Row(Phase.DECODE, 0, 5, [9], [3, 1]),  # its token 5: place 1 of page 1
        Row(Phase.PREFILL, 1, 0, [8, 8], tree=tree),  # no pages: not kept
        Row(Phase.PREFILL, 2, 0, [7] * 5, [4, 0], tree=tree),
    ]
    pages, values = (torch.full((PAGES, KV_HEADS, PAGE_SIZE, HEAD_DIM), float("nan")) for _ in range(2))
    new = torch.arange(1 + 3 + 6, dtype=torch.float32)[:, None, None].expand(-1, KV_HEADS, HEAD_DIM).clone()
    new[:, 1] += 100  # the second head's
    writes = to_device(writes_of(cache, rows), cache.device)
    assert writes.places.tolist() == [5, -1, -1, -1, 16, 17, 18, 19, 0, -1]
    LayerCache(pages, values, writes).store(new, new + 1000)
    assert pages[1, 0, 1, 0] == 0
    assert pages[4, 0, :, 0].tolist() == [4, 5, 6, 7]
    assert pages[0, 0].T[0].tolist() == [8, 0, 0, 0], "a page that is begun is cleared"
    assert torch.equal(pages[4, 1], pages[4, 0] + 100)
    torch.testing.assert_close(values[4], pages[4] + 1000)
    assert pages[2].isnan().all()
    assert pages[3].isnan().all()


def test_where_every_token_is_kept_none_is_selected():
    assert writes_of(cache_of(), [Row(Phase.DECODE, 0, 5, [9], [3, 1])]).tokens is None


@pytest.mark.parametrize(("window", "first"), [(None, 0), (4, 3), (9, 0)])
def test_the_window_ends_with_the_last_token(window, first):
    assert cache_of(window=window).window.first_seen(7) == first


def test_places_follow_the_pages():
    cache = cache_of()
    places = cache.places(np.array([3, 1]), np.arange(6))
    assert places.tolist() == [12, 13, 14, 15, 4, 5]


def test_a_cache_of_captured_steps_has_a_page_to_spare_and_each_rank_its_heads():
    fused = cache_of(fused=True, rank=1, size=2)
    assert fused.keys[0].shape == (PAGES + 1, KV_HEADS // 2, PAGE_SIZE, HEAD_DIM)
    assert fused.spare_page == PAGES
