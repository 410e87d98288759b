"""Rows that read the same cached tokens read them in one go; each gets what it would get alone."""

from types import SimpleNamespace

import pytest
import torch

from model.attention import cached_groups
from model.attention.cached_groups import CachedGroups
from model.attention.kv_cache import KVCache
from model.attention.log_sum_exp import attend_tokens
from model.machine.to_device import to_device
from model.network.tensor_parallel import TensorParallel
from model.scheduling.batch import Phase, Row
from tests.model.attention.plain_flash import plain_flash

PAGE_SIZE = 4
ROWS = [
    Row(Phase.PREFILL, 0, 8, [0] * 3, [5, 2, 7]),
    Row(Phase.PREFILL, 1, 0, [0] * 2, [1]),
    Row(Phase.PREFILL, 2, 8, [0] * 5, [5, 2, 6, 9]),
    Row(Phase.PREFILL, 3, 7, [0], [5, 2]),
    Row(Phase.PREFILL, 4, 4, [0] * 2, [5, 3]),
]


@pytest.mark.parametrize("fused", [False, True])
def test_each_row_gets_its_own_cached_tokens_merged_in(fused, monkeypatch):
    monkeypatch.setattr(cached_groups, "flash", plain_flash)
    config = SimpleNamespace(num_kv_heads=2, head_dim=16, num_layers=1, sliding_window=None)
    cache = KVCache(config, 10, PAGE_SIZE, TensorParallel(), torch.float32, torch.device("cpu"), fused)
    keys, values = cache.keys[0].normal_(), cache.values[0].normal_()
    new = sum(row.length for row in ROWS)
    q, k, v = (torch.randn(new, heads, 16) for heads in (4, 2, 2))
    attended, lse = attend_tokens(q, k, v)
    groups = to_device(CachedGroups.of(cache, ROWS, [row.cached for row in ROWS]), cache.device)
    assert len(groups.groups) == (1 if fused else 3), "rows 0 and 2 read the same tokens"
    merged = groups.merge_in(q, keys, values, attended.clone(), lse)
    begin = 0
    for row in ROWS:
        part = slice(begin, begin + row.length)
        begin = part.stop
        cached = (x[row.pages].transpose(1, 2).flatten(0, 1)[: row.cached] for x in (keys, values))
        both = (torch.cat(pair) for pair in zip(cached, (k, v), strict=True))
        torch.testing.assert_close(merged[part], attend_tokens(q[part], *both)[0], atol=1e-5, rtol=1e-5)


def test_without_cached_tokens_there_are_no_groups():
    cache = SimpleNamespace(page_size=4, fused=True, device=torch.device("cpu"))
    assert CachedGroups.of(cache, ROWS, [0] * len(ROWS)) is None
