"""Attention of decoding rows to their pages of the cache on a GPU, where they lie, with log-sum-exp.

R rows with one new token each, H query heads, G key/value heads, hd head dimension, P places of a page.
Online softmax: Milakov and Gimelshein 2018 (arXiv 1805.02867); over blocks of keys: FlashAttention,
arXiv 2205.14135.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

_BLOCK = 64  # keys at a time; a page holds a multiple of it
_FEWEST_QUERIES = 16  # that a matrix unit multiplies at once


def attend_pages(
    q: Tensor, keys: Tensor, values: Tensor, table: Tensor, begins: Tensor, ends: Tensor
) -> tuple[Tensor, Tensor]:
    """Queries [R, H, hd] to pages [pages, G, P, hd] -> [R, H, hd] and log-sum-exp [R, H].

    Row r reads places `begins[r]` up to `ends[r]` (at least one) of the pages `table[r]`, all int32.
    """
    rows, heads, width = q.shape
    kv_heads, size = keys.shape[1:3]
    assert all(x.is_contiguous() for x in (q, keys, values))
    assert table.stride(1) == 1
    attended, lse = torch.empty_like(q), q.new_empty(rows, heads, dtype=torch.float32)
    _attend_row[(rows, kv_heads)](
        q,
        keys,
        values,
        table,
        begins,
        ends,
        attended,
        lse,
        width**-0.5,
        table.stride(0),
        begins.stride(0),
        ends.stride(0),
        KV_HEADS=kv_heads,
        GROUP=heads // kv_heads,
        QUERIES=max(_FEWEST_QUERIES, triton.next_power_of_2(heads // kv_heads)),
        HEAD_DIM=width,
        FEATURES=triton.next_power_of_2(width),
        PAGE=size,
        BLOCK=min(_BLOCK, size),
    )
    return attended, lse


@triton.jit  # type: ignore[untyped-decorator]
def _attend_row(  # type: ignore[no-untyped-def]
    q,
    keys,
    values,
    table,
    begins,
    ends,
    attended,
    lse,
    scale,
    table_stride,
    begins_stride,
    ends_stride,
    KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    QUERIES: tl.constexpr,
    HEAD_DIM: tl.constexpr,
    FEATURES: tl.constexpr,
    PAGE: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """One row's query heads of one key/value head."""
    row, kv_head = tl.program_id(0), tl.program_id(1)
    begin, end = tl.load(begins + row * begins_stride), tl.load(ends + row * ends_stride)
    head = tl.arange(0, QUERIES)
    feature = tl.arange(0, FEATURES)
    place_in_block = tl.arange(0, BLOCK)
    real_head, real_feature = head < GROUP, feature < HEAD_DIM
    head += kv_head * GROUP

    at = (row * KV_HEADS * GROUP + head)[:, None] * HEAD_DIM + feature[None, :]
    mine = real_head[:, None] & real_feature[None, :]
    query = tl.load(q + at, mask=mine, other=0.0)  # [QUERIES, FEATURES]
    highest = tl.full((QUERIES,), float("-inf"), tl.float32)
    total = tl.zeros((QUERIES,), tl.float32)
    mixed = tl.zeros((QUERIES, FEATURES), tl.float32)
    for first in range(begin // BLOCK * BLOCK, end, BLOCK):
        place = first + place_in_block
        seen = (place >= begin) & (place < end)
        page = tl.load(table + row * table_stride + first // PAGE).to(tl.int64)
        vector = (page * KV_HEADS + kv_head) * PAGE + place % PAGE
        cached = vector[:, None] * HEAD_DIM + feature[None, :]
        read = seen[:, None] & real_feature[None, :]
        key = tl.load(keys + cached, mask=read, other=0.0)  # [BLOCK, FEATURES]
        scores = tl.dot(query, tl.trans(key), input_precision="ieee") * scale  # [QUERIES, BLOCK]
        scores = tl.where(seen[None, :], scores, float("-inf"))
        risen = tl.maximum(highest, tl.max(scores, 1))
        weights = tl.exp(scores - risen[:, None])
        decay = tl.exp(highest - risen)
        value = tl.load(values + cached, mask=read, other=0.0)
        mixed = mixed * decay[:, None] + tl.dot(weights.to(value.dtype), value, input_precision="ieee")
        total = total * decay + tl.sum(weights, 1)
        highest = risen
    tl.store(attended + at, (mixed / total[:, None]).to(query.dtype), mask=mine)
    tl.store(lse + row * KV_HEADS * GROUP + head, highest + tl.log(total), mask=real_head)
