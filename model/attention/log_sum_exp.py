"""Attention that also gives its log-sum-exp, so that attention to parts of the keys can be merged.

B batch, H query heads, G key/value heads (H a multiple of G), n queries, S keys, hd head dimension.
"""

import torch
from torch import Tensor

_QUERIES = 1024


def attend(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Queries [B, H, n, hd] to keys and values [B, G, S, hd] -> [B, H, n, hd] and log-sum-exp [B, H, n].

    `bias` is added to the scores, [B, 1, n, S] or what broadcasts to it: 0 where a key is seen, else -inf.
    """
    if q.device.type == "cpu":
        flash = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu
        attended, lse = flash(q, k, v, is_causal=causal, attn_mask=bias)
        return attended, lse
    return attend_in_blocks(q, k, v, causal, bias)


def attend_in_blocks(
    q: Tensor, k: Tensor, v: Tensor, causal: bool, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """`attend` in plain operators, so many queries at a time that their scores fit in memory."""
    parts = []
    for first in range(0, q.shape[2], _QUERIES):
        block = slice(first, first + _QUERIES)
        of_block = bias if bias is None or bias.shape[2] == 1 else bias[:, :, block]
        parts.append(_attend_block(q[:, :, block], k, v, first if causal else None, of_block))
    attended, lse = zip(*parts, strict=True)
    return torch.cat(attended, dim=2), torch.cat(lse, dim=2)


def _attend_block(
    q: Tensor, k: Tensor, v: Tensor, first: int | None, bias: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The first query stands at `first` and sees no later key; None: all see all."""
    grouped = q.unflatten(1, (k.shape[1], -1))  # [B, G, H / G, n, hd]
    scores = (grouped @ k[:, :, None].transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if first is not None:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril(first)
        scores = scores.masked_fill(~visible, float("-inf"))
    if bias is not None:
        scores = scores + bias[:, :, None]
    lse = scores.logsumexp(-1)
    weights = (scores - lse[..., None]).exp().to(v.dtype)
    return (weights @ v[:, :, None]).flatten(1, 2), lse.flatten(1, 2)


def attend_tokens(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same for one row: [n, H, hd] to [S, G, hd] each -> [n, H, hd] and log-sum-exp [n, H]."""
    attended, lse = attend(*(x.transpose(0, 1)[None] for x in (q, k, v)), causal=causal, bias=bias)
    return attended[0].transpose(0, 1), lse[0].T


def merge(one: Tensor, one_lse: Tensor, other: Tensor, other_lse: Tensor) -> Tensor:
    """Attention to two sets of keys, [..., hd] and log-sum-exp [...] each -> to all of the keys."""
    weight = torch.sigmoid(one_lse - other_lse)[..., None]
    return torch.lerp(other.float(), one.float(), weight).to(one.dtype)


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask that is True where a key is seen -> the same as a bias."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, float("-inf")
    )
