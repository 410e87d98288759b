"""The kernel in C++ against its plain twin: the same numbers in the same places, and no other touched."""

import os
import shutil
from types import SimpleNamespace

import pytest
import torch

from model.attention.decode_cpu import CpuDecode
from model.attention.kv_cache import KVCache, Writes
from model.attention.write_pages import write_pages
from model.machine.to_device import to_device
from model.network.tensor_parallel import TensorParallel
from model.scheduling.batch import Phase, Row

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "c++")) is None, reason="there is no C++ compiler"
)
PAGES, PAGE_SIZE, KV_HEADS, HEAD_DIM = 90, 4, 2, 5
ROWS = {
    "all are kept": [Row(Phase.DECODE, 0, 5, [9], [3, 1]), Row(Phase.DECODE, 1, 4, [9], [7, 8])],
    "some are kept": [
        Row(Phase.DECODE, 0, 5, [9], [3, 1]),
        Row(Phase.PREFILL, 1, 0, [8, 8]),  # no pages: not kept
        Row(Phase.PREFILL, 2, 0, [7] * 5, [4, 0]),
    ],
    "none is kept": [Row(Phase.PREFILL, 1, 0, [8, 8])],
    "on several threads": [Row(Phase.PREFILL, 0, 3, [8] * 300, list(range(5, 85)))],
}


@pytest.fixture(scope="module", autouse=True)
def compiled():
    assert CpuDecode.is_compiled()


def cache_of(dtype, head_dim=HEAD_DIM):
    config = SimpleNamespace(num_kv_heads=KV_HEADS, head_dim=head_dim, num_layers=2, sliding_window=None)
    cache = KVCache(config, PAGES, PAGE_SIZE, TensorParallel(0, 1), dtype, torch.device("cpu"))
    for pages in cache.keys + cache.values:
        pages.fill_(torch.nan)  # what others left there
    return cache


def step_of(rows, dtype=torch.float32, head_dim=HEAD_DIM):
    """A cache, what a step of these rows writes, and new keys and values, which lie apart as a model's do."""
    cache = cache_of(dtype, head_dim)
    writes = to_device(Writes.of(cache, rows), cache.device)
    tokens = sum(row.length for row in rows)
    qkv = torch.randn(tokens, 8, head_dim, generator=torch.Generator().manual_seed(0)).to(dtype)
    return cache, writes, qkv[:, 4:6], qkv[:, 6:]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("head_dim", [5, 64])
def test_equal_to_the_plain_twin(rows, dtype, head_dim):
    cache, writes, k, v = step_of(rows, dtype, head_dim)
    write_pages(writes, k, v, cache.keys[0], cache.values[0])
    indices = cache.indices(writes.places)
    writes.store(cache.keys[1], k, indices)
    writes.store(cache.values[1], v, indices)
    for got, expected in (cache.keys, cache.values):
        torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)
    assert cache.keys[0].isnan().any()
    assert cache.keys[0].isfinite().any() or not len(writes.places)


@pytest.mark.parametrize(
    ("name", "number"), [("places", -1), ("places", PAGES * PAGE_SIZE), ("tokens", 9), ("opened", PAGES)]
)
def test_what_does_not_exist_is_refused_and_nothing_written(name, number):
    cache, writes, k, v = step_of(ROWS["some are kept"])
    getattr(writes, name)[-1] = number
    with pytest.raises(RuntimeError, match=f"there is no number {number}"):
        write_pages(writes, k, v, cache.keys[0], cache.values[0])
    assert cache.keys[0].isnan().all()


def test_other_shapes_and_dtypes_are_refused():
    cache, writes, k, v = step_of(ROWS["all are kept"])
    keys, values = cache.keys[0], cache.values[0]
    with pytest.raises(RuntimeError, match="one dtype"):
        write_pages(writes, k.bfloat16(), v, keys, values)
    with pytest.raises(RuntimeError, match="one shape of a token"):
        write_pages(writes, k, v[:, :1], keys, values)
    with pytest.raises(RuntimeError, match="a place for each kept token"):
        write_pages(writes, k[:1], v[:1], keys, values)
    with pytest.raises(RuntimeError, match="contiguous"):
        write_pages(writes, k, v, keys.transpose(0, 1).contiguous().transpose(0, 1), values)
