"""Rows side by side, and the trees behind some of them, against a loop; flash itself is a plain stand-in."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from model.attention.prefill_flash import FlashPrefill
from model.machine.to_device import to_device
from model.requests import token_tree
from model.requests.choice_scores import ChoiceScores
from model.requests.token_tree import TokenTree
from model.scheduling.batch import Phase, Row
from model.sliding_window import SlidingWindow
from tests.model.attention.plain_flash import plain_flash
from tests.model.attention.rows_without_cache import attend_one_by_one

LARGE = ChoiceScores.of([[1, 2, 3], [1, 4, 5], [6, 7]]).tree
SMALL = ChoiceScores.of([[1, 2]]).tree
PLAIN = [Row(Phase.PREFILL, slot, 0, [0] * length) for slot, length in enumerate((9, 1, 4))]
WITH_TREES = [
    PLAIN[0],
    Row(Phase.PREFILL, 3, 0, [0] * 7, tree=LARGE),
    Row(Phase.PREFILL, 4, 0, [0], tree=SMALL),
    PLAIN[2],
]


@pytest.mark.parametrize(
    ("rows", "window", "block"),
    [(PLAIN, None, 256), (PLAIN, 3, 256), (WITH_TREES, None, 256), (WITH_TREES, None, 2)],
)
def test_each_row_reads_its_own_tokens(rows, window, block, monkeypatch):
    monkeypatch.setattr(token_tree, "BLOCK_NODES", block)
    rows = [replace(row, tree=TokenTree(row.tree.token_ids, row.tree.parents)) for row in rows]
    monkeypatch.setattr("model.attention.prefill_flash.flash", plain_flash)
    cache = SimpleNamespace(window=SlidingWindow(window, 4), device=torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    new = sum(row.length for row in rows)
    q, k, v = (torch.randn(new, heads, 16, generator=generator) for heads in (4, 2, 2))
    [(attended, lse)] = to_device(FlashPrefill.of(cache, rows), cache.device).attend(q, k, v)
    lengths = [row.length for row in rows]
    for row, *of_row in zip(rows, *(x.split(lengths) for x in (attended, lse, q, k, v)), strict=True):
        expected = attend_one_by_one(row, *of_row[2:], window)
        torch.testing.assert_close(tuple(of_row[:2]), expected, atol=1e-5, rtol=1e-5)
