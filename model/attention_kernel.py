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
    if bias is None and has_flash(q.device, q.dtype, q.shape[-1]):
        q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
        attended, lse, *_ = torch.ops.aten._flash_attention_forward(
            q, k, v, None, None, q.shape[1], k.shape[1], 0.0, causal, False
        )
        return attended.transpose(1, 2), lse
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


def attend_tokens(
    q: Tensor, k: Tensor, v: Tensor, *, causal: bool = False, bias: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The same for one row: [n, H, hd] to [S, G, hd] each -> [n, H, hd] and log-sum-exp [n, H]."""
    attended, lse = attend(*(x.transpose(0, 1)[None] for x in (q, k, v)), causal=causal, bias=bias)
    return attended[0].transpose(0, 1), lse[0].T


def has_flash(device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether torch's FlashAttention-2 runs there."""
    return (
        device.type == "cuda"
        and dtype in (torch.float16, torch.bfloat16)
        and torch.cuda.get_device_capability(device) >= (8, 0)
        and head_dim % 8 == 0
        and head_dim <= 256
    )


def wants_flash(attention: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """What `attention` (auto, sdpa or flash) means there; ValueError if it can't be."""
    if attention not in ("auto", "sdpa", "flash"):
        raise ValueError(f"attention must be auto, sdpa or flash, got {attention}")
    possible = has_flash(device, dtype, head_dim)
    if attention == "flash" and not possible:
        raise ValueError(
            "attention flash needs float16 or bfloat16, a GPU of compute capability 8.0 or later and heads "
            f"of up to 256, a multiple of 8; got {dtype} on {device.type}, heads of {head_dim}: choose auto"
        )
    return possible and attention != "sdpa"


def merge(one: Tensor, one_lse: Tensor, other: Tensor, other_lse: Tensor) -> Tensor:
    """Attention to two sets of keys, [..., hd] and log-sum-exp [...] each -> to all of the keys."""
    share = torch.sigmoid(one_lse - other_lse)[..., None]
    return torch.lerp(other.float(), one.float(), share).to(one.dtype)


def bias_of(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """A mask that is True where a key is seen -> the same as a bias."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill_(
        ~visible, float("-inf")
    )
