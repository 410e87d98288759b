"""What the engine hands to each Triton kernel's launcher, for the shapes of checkpoints that people run.

A new kernel gets a function here, and a line in `CALLS`: a test fails for a kernel that nothing launches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from model.attention.triton_kernel import attend_pages
from model.kernels.cache_writes import LayerCache, Writes
from model.kernels.triton_kernels import TRITON
from model.linear.codebook import NF4, Codebook
from model.linear.grid import Grid
from model.linear.triton_held import TritonHeld

# Columns before a row's pages in the table of a captured step, see model.execution.decode_graphs.
_NUMBERS_OF_A_ROW = 7
_ROWS, _PAGES, _PAGE = 2, 9, 64


@dataclass(frozen=True)
class Heads:
    """One rank's share of a checkpoint's attention."""

    queries: int
    keys: int
    width: int


HEADS = {
    "8x7b": Heads(32, 8, 128),
    "8x22b": Heads(48, 8, 128),
    "8x22b-on-8-ranks": Heads(6, 1, 128),
    "half-width": Heads(8, 2, 64),
    "odd-width": Heads(8, 2, 80),
    "widest": Heads(8, 2, 256),
}
DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def paged_attention(heads: Heads, dtype: torch.dtype) -> None:
    """As a captured step does it: the row's pages and bounds are columns of one table."""
    q = torch.zeros(_ROWS, heads.queries, heads.width, dtype=dtype)
    keys, values = (torch.zeros(_PAGES, heads.keys, _PAGE, heads.width, dtype=dtype) for _ in range(2))
    table = torch.ones(_ROWS, _NUMBERS_OF_A_ROW + _PAGES, dtype=torch.int32)
    attend_pages(q, keys, values, table[:, _NUMBERS_OF_A_ROW:], table[:, 3], table[:, 4])


def layer(heads: Heads, dtype: torch.dtype) -> None:
    """What a layer computes between its multiplications."""
    width = heads.queries * heads.width
    x = torch.zeros(_ROWS, width, dtype=dtype)
    TRITON.add_norm(x, None, x[0], 1e-5)
    TRITON.add_norm(x, x, x[0], 1e-5)
    qkv = torch.zeros(_ROWS, heads.queries + 2 * heads.keys, heads.width, dtype=dtype)
    rope = qkv[:, :1].contiguous(), qkv[:, :1].contiguous()
    keys, values = (torch.zeros(_PAGES, heads.keys, _PAGE, heads.width, dtype=dtype) for _ in range(2))
    places = torch.arange(_ROWS)
    cache = LayerCache(keys, values, Writes(heads.keys, _PAGE, places))
    TRITON.rotate(qkv, rope, heads.queries, heads.keys, cache)
    routed = TRITON.route(torch.zeros(_ROWS, 8, dtype=dtype), 2)
    TRITON.route(torch.zeros(4096, 8, dtype=dtype), 2)
    outputs = TRITON.swish_product(torch.zeros(_ROWS * 2, 2 * width, dtype=dtype))
    TRITON.weighted_sum(outputs, routed.places, routed.weights)


def held_weights(heads: Heads, dtype: torch.dtype) -> None:
    """Weights in few bits. Each kernel takes a second to compile, so that most heads have one.

    That is a layer's experts in a decode step; nf4 and a prompt beside the heads of eight ranks; and beside
    the odd heads every way that codes and scales lie.
    """
    inputs, outputs = heads.queries * heads.width, 256
    codes = torch.zeros(outputs, inputs, dtype=torch.uint8)
    scales = torch.full((outputs, inputs // 8), 1.1)  # in no narrower type
    table = Codebook(codes, torch.tensor(NF4), torch.full((outputs * inputs // 64,), 1.1), 64)
    if heads == HEADS["8x22b-on-8-ranks"]:
        _prompt_by(table, dtype)
    elif heads == HEADS["odd-width"]:
        in_eight = Grid(8, codes, scales[:, :1], torch.zeros(outputs, 1))
        listed = Grid(4, codes, scales, scales, torch.zeros(inputs, dtype=torch.int64))
        running = Codebook(codes[:, :-1], table.table, table.largest, 64)
        for way in (Grid(4, codes, scales, scales), in_eight, listed, table, running):
            _prompt_by(way, dtype)
    else:
        of_128 = Grid(4, codes, scales[:, : inputs // 128], torch.zeros(outputs, inputs // 128))
        one = TritonHeld.of(of_128)
        experts = one.joined([one] * 7)
        assert experts is not None
        experts.by_ends(torch.zeros(_ROWS, inputs, dtype=dtype), torch.zeros(8, dtype=torch.int32))


def _prompt_by(weight: Grid | Codebook, dtype: torch.dtype) -> None:
    TritonHeld.of(weight)(torch.zeros(64, weight.codes.shape[1], dtype=dtype))


CALLS: list[Callable[[Heads, torch.dtype], None]] = [paged_attention, layer, held_weights]
