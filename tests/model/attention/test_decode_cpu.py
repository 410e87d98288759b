"""The kernel in C++ against a loop over rows and heads, and against its plain twin."""

import os
import shutil
from types import SimpleNamespace

import pytest
import torch

from model.attention.decode_cpu import CpuDecode, attend_pages
from model.attention.decode_torch import TorchDecode
from model.machine.to_device import to_device
from model.scheduling.batch import Phase, Row
from model.sliding_window import SlidingWindow
from tests.model.attention.given_back import without_passed
from tests.model.attention.paged_one_by_one import one_by_one

pytestmark = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "c++")) is None, reason="there is no C++ compiler"
)
CPU = torch.device("cpu")
CLOSE = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 2e-3}


@pytest.fixture(scope="module", autouse=True)
def compiled():
    assert CpuDecode.is_compiled()


def close(got, expected, dtype=torch.float32):
    assert got[0].dtype is dtype
    assert got[1].dtype is torch.float32
    torch.testing.assert_close(got[0], expected[0], atol=CLOSE[dtype], rtol=CLOSE[dtype])
    torch.testing.assert_close(got[1], expected[1], atol=1e-5, rtol=1e-5)


def step_of(ends, page_size, heads, kv_heads, head_dim, dtype, windowed=False):
    """The kernel's inputs for rows that end there; what no row may read is NaN."""
    generator = torch.Generator().manual_seed(page_size + heads)
    begins = [max(end - page_size - 3, 0) if windowed else 0 for end in ends]
    counts = [-(-end // page_size) for end in ends]
    pages = torch.randperm(sum(counts), generator=generator).split(counts)
    table = torch.full((len(ends), max(counts)), sum(counts), dtype=torch.int32)
    keys, values = torch.full((2, sum(counts) + 1, kv_heads, page_size, head_dim), torch.nan).to(dtype)
    for row, (begin, end) in enumerate(zip(begins, ends, strict=True)):
        table[row, : counts[row]] = pages[row]
        seen = torch.arange(begin, end)
        of_row = torch.randn(2, end - begin, kv_heads, head_dim, generator=generator).to(dtype)
        keys[pages[row][seen // page_size], :, seen % page_size] = of_row[0]
        values[pages[row][seen // page_size], :, seen % page_size] = of_row[1]
    q = torch.randn(len(ends), heads, head_dim, generator=generator).to(dtype)
    return q, keys, values, table, torch.tensor(begins).int(), torch.tensor(ends).int()


@pytest.mark.parametrize("dtype", CLOSE)
@pytest.mark.parametrize("page_size", [1, 16, 32, 100])
@pytest.mark.parametrize(
    ("heads", "kv_heads", "head_dim"), [(8, 2, 64), (4, 4, 24), (3, 1, 80), (7, 1, 16), (6, 2, 5)]
)
@pytest.mark.parametrize("windowed", [False, True])
def test_rows_read_their_own_places_and_nothing_else(page_size, heads, kv_heads, head_dim, windowed, dtype):
    ends = [1, page_size + 1, 31, 64, 3 * page_size, 257, 300]
    inputs = step_of(ends, page_size, heads, kv_heads, head_dim, dtype, windowed)
    close(attend_pages(*inputs), one_by_one(*inputs), dtype)


def test_one_row_with_a_long_context_beside_a_short_one():
    inputs = step_of([9001, 3], 32, 8, 2, 64, torch.float32)
    close(attend_pages(*inputs), one_by_one(*inputs))


@pytest.mark.parametrize("window", [None, 40])
def test_equal_to_the_plain_twin(window):
    """Queries and keys come out of one rotation, so a row's query heads lie apart from the next row's."""
    cache = SimpleNamespace(page_size=32, kv_heads=2, device=CPU, window=SlidingWindow(window, 32))
    rows = [
        Row(Phase.DECODE, 0, 600, [5], list(range(30, 49))),
        Row(Phase.DECODE, 1, 2, [6], [3]),
        Row(Phase.DECODE, 2, 63, [7], [7, 4]),
    ]
    generator = torch.Generator().manual_seed(0)
    keys, values = torch.randn(2, 50, 2, 32, 64, generator=generator)
    q = torch.randn(3, 10, 64, generator=generator)[:, :8]
    reads = to_device(CpuDecode.of(cache, rows), CPU)
    attended = reads.attend(q, keys, values)
    close(attended, TorchDecode(cache, rows).attend(q, keys, values))
    kept = without_passed(cache, rows)
    given_back = {page for row in rows for page in row.pages} - {page for row in kept for page in row.pages}
    assert len(given_back) == (0 if window is None else 17)
    keys[[*given_back]] = values[[*given_back]] = torch.nan  # other rows write there what they like
    again = to_device(CpuDecode.of(cache, kept), CPU).attend(q, keys, values)
    assert all(map(torch.equal, again, attended))


def test_a_rows_bits_depend_on_nothing_but_the_row():
    q, keys, values, *where = step_of([700, 40, 5000, 1], 32, 8, 2, 64, torch.float32)
    together = attend_pages(q, keys, values, *where)
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        on_more_threads = attend_pages(q, keys, values, *where)
    finally:
        torch.set_num_threads(threads)
    for i in range(2):
        assert torch.equal(together[i], on_more_threads[i])
    for row in range(4):
        alone = attend_pages(q[row : row + 1], keys, values, *(x[row : row + 1] for x in where))
        assert torch.equal(alone[0][0], together[0][row])
        assert torch.equal(alone[1][0], together[1][row])


@pytest.mark.parametrize("place", [0, 70, 299])
def test_a_key_that_is_no_number_spoils_its_own_row_alone(place):
    q, keys, values, table, begins, ends = step_of([300, 300], 32, 4, 1, 16, torch.float32)
    keys[table[1, place // 32], 0, place % 32, 3] = torch.nan
    attended, lse = attend_pages(q, keys, values, table, begins, ends)
    assert attended[1].isnan().all()
    assert lse[1].isnan().all()
    assert attended[0].isfinite().all()
    assert lse[0].isfinite().all()


def test_in_float16_large_values_that_all_weigh_the_same_stay_what_they_are():
    keys = torch.zeros(8, 2, 32, 16, dtype=torch.float16)
    values = torch.full_like(keys, 60_000.0)
    table = torch.arange(8, dtype=torch.int32)[None]
    bounds = torch.tensor([[0, 256]], dtype=torch.int32)
    attended, _ = attend_pages(keys.new_ones(1, 4, 16), keys, values, table, *bounds.unbind(1))
    torch.testing.assert_close(attended, torch.full_like(attended, 60_000.0), rtol=1e-3, atol=0)


def test_bounds_may_be_columns_of_a_wider_table():
    q, keys, values, table, begins, ends = step_of([5, 40, 33], 16, 4, 2, 16, torch.float32)
    wide = torch.cat([begins[:, None], ends[:, None], table], 1)
    inputs = (q, keys, values, wide[:, 2:], wide[:, 0], wide[:, 1])
    close(attend_pages(*inputs), one_by_one(*inputs))


def test_what_the_kernel_cannot_read_is_refused():
    q, keys, values, table, begins, ends = step_of([5], 16, 4, 2, 16, torch.float32)
    with pytest.raises(RuntimeError, match="one dtype"):
        attend_pages(q.bfloat16(), keys, values, table, begins, ends)
    with pytest.raises(RuntimeError, match="int32"):
        attend_pages(q, keys, values, table.long(), begins, ends)
    with pytest.raises(RuntimeError, match="one place at least"):
        attend_pages(q, keys, values, table, ends, ends)
