"""The Triton kernel against a loop over rows and heads; without a GPU in Triton's interpreter."""

import pytest
import torch

pytest.importorskip("triton", reason="there are no wheels of it for this machine")
from model.attention.triton_kernel import attend_pages
from tests.model.attention.paged_one_by_one import one_by_one

PAGES = 23
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize("page_size", [16, 64, 128])
@pytest.mark.parametrize(("heads", "kv_heads", "head_dim"), [(8, 2, 32), (4, 4, 24), (3, 1, 80), (20, 1, 16)])
@pytest.mark.parametrize("windowed", [False, True])
def test_rows_read_their_own_places_and_nothing_else(page_size, heads, kv_heads, head_dim, windowed):
    generator = torch.Generator().manual_seed(page_size + heads)
    most = 4
    ends = torch.tensor([1, page_size - 1, page_size, page_size + 1, 3 * page_size + 7, 4 * page_size])
    rows = len(ends)
    begins = (ends - page_size - 3).clamp(min=0) if windowed else torch.zeros_like(ends)
    table = torch.randperm(PAGES, generator=generator)[: rows * 3 + most].unfold(0, most, 3)[:rows]
    q = torch.randn(rows, heads, head_dim, generator=generator)
    keys, values = torch.randn(2, PAGES + 1, kv_heads, page_size, head_dim, generator=generator)
    keys[-1] = values[-1] = float("nan")
    table = table.clone()
    for row, end in enumerate(ends.tolist()):
        table[row, -(-end // page_size) :] = PAGES  # pages that are not the row's hold NaN
    expected = one_by_one(q, keys, values, table, begins, ends)
    inputs = (q, keys, values, table.int(), begins.int(), ends.int())
    attended, lse = attend_pages(*(x.to(DEVICE) for x in inputs))
    torch.testing.assert_close(attended.cpu(), expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(lse.cpu(), expected[1], atol=1e-5, rtol=1e-5)


def test_bounds_may_be_columns_of_a_wider_table():
    table = torch.tensor([[0, 5, 3, 1], [2, 9, 0, 2]], dtype=torch.int32)
    generator = torch.Generator().manual_seed(0)
    q = torch.randn(2, 4, 16, generator=generator)
    keys, values = torch.randn(2, 4, 2, 16, 16, generator=generator)
    strided = (table[:, 2:], table[:, 0], table[:, 1])
    expected = one_by_one(q, keys, values, *strided)
    attended, lse = attend_pages(*(x.to(DEVICE) for x in (q, keys, values, *strided)))
    torch.testing.assert_close(attended.cpu(), expected[0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(lse.cpu(), expected[1], atol=1e-5, rtol=1e-5)
