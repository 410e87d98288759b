"""Attention that also gives its log-sum-exp, so that attention to parts of the keys can be merged.

B batch, H query heads, G key/value heads (H a multiple of G), n queries, S keys, hd head dimension.
"""

import torch
from torch import Tensor


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
    grouped = q.unflatten(1, (k.shape[1], -1))  # [B, G, H / G, n, hd]
    scores = (grouped @ k[:, :, None].transpose(-1, -2)).float() * q.shape[-1] ** -0.5
    if causal:
        visible = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~visible, float("-inf"))
    if bias is not None:
        scores = scores + bias[:, :, None]
    lse = scores.logsumexp(-1)
    weights = (scores - lse[..., None]).exp().to(v.dtype)
    return (weights @ v[:, :, None]).flatten(1, 2), lse.flatten(1, 2)


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask that is True where a key is seen -> the same as a bias."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, float("-inf")
    )
