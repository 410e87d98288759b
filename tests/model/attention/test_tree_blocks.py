"""Nodes block by block against all nodes at once, for trees in any order."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from model.attention.log_sum_exp import attend_tokens, bias_of
from model.attention.tree_blocks import TreeBlocks
from model.machine.to_device import to_device
from model.requests import token_tree
from model.requests.token_tree import TokenTree

FIRST = 2  # new tokens before the first tree, and between the trees


@st.composite
def trees(draw):
    size = draw(st.integers(1, 9))
    return TokenTree([0] * size, [draw(st.integers(-1, node - 1)) for node in range(size)])


@settings(max_examples=40, deadline=None)
@given(st.lists(trees(), min_size=1, max_size=3), st.integers(1, 4))
def test_a_node_reads_its_ancestors_and_itself(some, block_nodes):
    before, token_tree.BLOCK_NODES = token_tree.BLOCK_NODES, block_nodes
    try:
        firsts = np.cumsum([FIRST, *(len(tree.parents) + FIRST for tree in some)])
        generator = torch.Generator().manual_seed(0)
        q, k, v = (torch.randn(firsts[-1], heads, 8, generator=generator) for heads in (4, 2, 2))
        of_rows = [*zip(firsts[:-1].tolist(), some, strict=True)]
        blocks = to_device(TreeBlocks.of(of_rows), torch.device("cpu"))
        found = blocks.attend(q, k, v)
        assert all(block.visible.shape[0] <= block_nodes for tree in some for block in tree.blocks)
    finally:
        token_tree.BLOCK_NODES = before
    ends = 0
    for first, tree in zip(firsts[:-1], some, strict=True):
        nodes = slice(first, first + len(tree.parents))
        visible = torch.zeros(len(tree.parents), len(tree.parents), dtype=torch.bool)
        for node in range(len(tree.parents)):
            seen = node
            while seen >= 0:
                visible[node, seen] = True
                seen = tree.parents[seen]
        expected = attend_tokens(q[nodes], k[nodes], v[nodes], bias=bias_of(visible[None, None], q.dtype))
        part = slice(ends, ends + len(tree.parents))
        torch.testing.assert_close((found[0][part], found[1][part]), expected, atol=1e-5, rtol=0)
        ends = part.stop
    assert ends == len(found[0])
