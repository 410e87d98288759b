"""The table by which fused kernels find a row's pages."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from model.attention.page_table import PageTable
from model.scheduling.batch import Phase, Row
from model.sliding_window import SlidingWindow


@pytest.mark.parametrize(("window", "begins"), [(None, [0, 0]), (6, [3, 0])])
def test_the_table_names_each_rows_pages_and_tokens(window, begins):
    cache = SimpleNamespace(device=torch.device("cpu"), page_size=4, window=SlidingWindow(window, 4))
    rows = [Row(Phase.DECODE, 0, 8, [5], [7, 2, 4]), Row(Phase.DECODE, 1, 2, [6], [3])]
    table = PageTable.of(cache, rows)
    assert table.pages.tolist() == [[7, 2, 4], [3, 0, 0]]
    assert table.begins.tolist() == begins
    assert table.ends.tolist() == [9, 3]
    assert {x.dtype for x in (table.pages, table.begins, table.ends)} == {np.dtype(np.int32)}
    assert table.num_rows == 2


def test_tokens_are_counted_from_the_first_page_that_is_there():
    cache = SimpleNamespace(device=torch.device("cpu"), page_size=4, window=SlidingWindow(3, 4))
    table = PageTable.of(cache, [Row(Phase.DECODE, 0, 9, [5], [2, 4], passed=1)])
    assert (table.pages.tolist(), table.begins.tolist(), table.ends.tolist()) == ([[2, 4]], [3], [6])
