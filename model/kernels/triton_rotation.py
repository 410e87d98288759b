"""Rotary position embeddings, and new tokens into the cache, in one Triton kernel: see rotation.py.

N tokens, H query heads, G key/value heads, hd head dimension.
"""

import triton
import triton.language as tl
from torch import Tensor

from model.kernels.cache_writes import LayerCache


def rotate(
    qkv: Tensor, rope: tuple[Tensor, Tensor], heads: int, kv_heads: int, into: LayerCache | None = None
) -> tuple[Tensor, Tensor]:
    """Queries and keys each lie side by side, as attention wants them. No page is cleared."""
    tokens, width = qkv.shape[0], qkv.shape[2]
    cos, sin = rope
    # Without a cache the kernel does not look at these three, but wants tensors.
    keys, values, places = (into.keys, into.values, into.writes.places) if into else (qkv, qkv, qkv)
    assert all(x.is_contiguous() for x in (qkv, cos, sin, keys, values, places))
    assert into is None or into.writes.opened is None
    q, k = qkv.new_empty(tokens, heads, width), qkv.new_empty(tokens, kv_heads, width)
    if tokens:
        _rotate[(tokens,)](
            qkv,
            cos,
            sin,
            q,
            k,
            keys,
            values,
            places,
            STORES=into is not None,
            QUERY_HEADS=heads,
            KEY_HEADS=kv_heads,
            HALF=width // 2,
            PAGE=into.writes.page_size if into else 1,
            HEADS=triton.next_power_of_2(heads + kv_heads),
            FEATURES=triton.next_power_of_2(width // 2),
            num_warps=8,
        )
    return q, k


@triton.jit  # type: ignore[untyped-decorator]
def _rotate(  # type: ignore[no-untyped-def]
    qkv,
    cos,
    sin,
    q,
    k,
    keys,
    values,
    places,
    STORES: tl.constexpr,
    QUERY_HEADS: tl.constexpr,
    KEY_HEADS: tl.constexpr,
    HALF: tl.constexpr,
    PAGE: tl.constexpr,
    HEADS: tl.constexpr,
    FEATURES: tl.constexpr,
):
    """One token's heads. The angles of both halves are the same, so the right half's are loaded."""
    token = tl.program_id(0).to(tl.int64)
    head, feature = tl.arange(0, HEADS)[:, None], tl.arange(0, FEATURES)
    real_feature = feature < HALF
    angle = token * 2 * HALF + HALF + feature
    turn_cos = tl.load(cos + angle, mask=real_feature, other=0.0).to(tl.float32)[None, :]
    turn_sin = tl.load(sin + angle, mask=real_feature, other=0.0).to(tl.float32)[None, :]
    real = (head < QUERY_HEADS + KEY_HEADS) & real_feature[None, :]
    within = head * 2 * HALF + feature[None, :]
    of_token = token * (QUERY_HEADS + 2 * KEY_HEADS) * 2 * HALF
    left = tl.load(qkv + of_token + within, mask=real, other=0.0).to(tl.float32)
    right = tl.load(qkv + of_token + within + HALF, mask=real, other=0.0).to(tl.float32)
    dtype = qkv.dtype.element_ty
    turned_left = (left * turn_cos - right * turn_sin).to(dtype)
    turned_right = (right * turn_cos + left * turn_sin).to(dtype)
    query = real & (head < QUERY_HEADS)
    at = token * QUERY_HEADS * 2 * HALF + within
    tl.store(q + at, turned_left, mask=query)
    tl.store(q + at + HALF, turned_right, mask=query)
    key = real & (head >= QUERY_HEADS)
    at = (token * KEY_HEADS - QUERY_HEADS) * 2 * HALF + within
    tl.store(k + at, turned_left, mask=key)
    tl.store(k + at + HALF, turned_right, mask=key)
    if STORES:
        place = tl.load(places + token).to(tl.int64)
        kept = key & (place >= 0)
        # Of pages [pages, G, P, hd]: the heads of a place are a page's P vectors apart.
        vector = ((place // PAGE) * KEY_HEADS + head - QUERY_HEADS) * PAGE + place % PAGE
        at = vector * 2 * HALF + feature[None, :]
        tl.store(keys + at, turned_left, mask=kept)
        tl.store(keys + at + HALF, turned_right, mask=kept)
        value = qkv + of_token + KEY_HEADS * 2 * HALF + within
        tl.store(values + at, tl.load(value, mask=kept), mask=kept)
        tl.store(values + at + HALF, tl.load(value + HALF, mask=kept), mask=kept)
