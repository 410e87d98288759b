"""Rows of several new tokens against a loop over queries and keys: cached tokens, windows and trees."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from model.attention.kv_cache import KVCache
from model.attention.prefill_torch import TorchPrefill
from model.network.tensor_parallel import TensorParallel
from model.requests import token_tree
from model.requests.choice_scores import ChoiceScores
from model.requests.token_tree import TokenTree
from model.scheduling.batch import Phase, Row
from tests.model.attention.rows_without_cache import attend_one_by_one

TREE = ChoiceScores.of([[1, 2, 3], [1, 4, 5], [6, 7]]).tree
ROWS = [
    Row(Phase.PREFILL, 0, 0, [0] * 9),
    Row(Phase.PREFILL, 1, 6, [0] * 5, [2, 0, 5]),
    Row(Phase.PREFILL, 2, 0, [0] * 7, tree=TREE),
    Row(Phase.PREFILL, 3, 3, [0], [4], tree=TREE),
]


@pytest.mark.parametrize(("window", "block"), [(None, 256), (4, 256), (None, 2), (4, 2)])
def test_each_row_reads_its_own_tokens(window, block, monkeypatch):
    """Nodes of a tree that is more than one block read the row's tokens apart."""
    monkeypatch.setattr(token_tree, "BLOCK_NODES", block)
    tree = TokenTree(TREE.token_ids, TREE.parents)  # whose blocks are not made yet
    rows = [replace(row, tree=tree) if row.tree is TREE else row for row in ROWS]
    config = SimpleNamespace(num_kv_heads=2, head_dim=16, num_layers=1, sliding_window=window)
    cache = KVCache(config, 6, 4, TensorParallel(), torch.float32, torch.device("cpu"))
    generator = torch.Generator().manual_seed(0)
    new = sum(row.length for row in rows)
    q, k, v = (torch.randn(new, heads, 16, generator=generator) for heads in (4, 2, 2))
    for pages in (cache.keys[0], cache.values[0]):
        pages.normal_(generator=generator)
    parts = TorchPrefill(cache, rows).attend(q, k, v, cache.keys[0], cache.values[0])
    lengths = [row.length for row in rows]
    for row, part, *of_row in zip(rows, parts, *(x.split(lengths) for x in (q, k, v)), strict=True):
        if window is None and row.cached:
            continue  # read by CachedGroups
        keys, values = (
            torch.cat((pages[row.pages].transpose(1, 2).flatten(0, 1)[: row.cached], x))
            for pages, x in zip((cache.keys[0], cache.values[0]), of_row[1:], strict=True)
        )
        expected = attend_one_by_one(row, of_row[0], keys, values, window)
        torch.testing.assert_close(part, expected, atol=1e-5, rtol=1e-5)
