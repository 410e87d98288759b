"""FlashAttention on a GPU, and whether it runs there.

n queries and S keys of all rows side by side, H query heads, G key/value heads, hd head dimension, B rows.
"""

import logging
import subprocess
from dataclasses import dataclass
from typing import Any, Generic

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.machine.to_device import Numbers

try:
    from flash_attn import __version__, flash_attn_varlen_func
except ImportError:
    flash_attn_varlen_func, FLASH = None, "torch's flash"
else:
    FLASH = f"flash-attn {__version__}"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ragged(Generic[Numbers]):
    """Rows of different lengths that lie side by side."""

    bounds: Numbers  # [B + 1] int32: where each row begins and, last, where all of them end
    longest: int

    @staticmethod
    def of(lengths: list[int]) -> "Ragged[NDArray[Any]]":
        return Ragged(np.cumsum([0, *lengths], dtype=np.int32), max(lengths))


def flash(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    queries: Ragged[Tensor],
    keys: Ragged[Tensor],
    *,
    causal: bool,
    window: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Queries [n, H, hd], keys and values [S, G, hd] in fp16 or bf16 -> [n, H, hd], log-sum-exp [n, H].

    Each row's queries see the keys of that row. A window counts the query's own token, too. Computed by the
    flash-attn package where it is installed, else by torch's own FlashAttention.
    """
    left, right = (-1, -1) if window is None else (window - 1, 0)
    bounds = queries.bounds, keys.bounds, queries.longest, keys.longest
    if flash_attn_varlen_func is not None:
        attended, lse, _ = flash_attn_varlen_func(
            q, k, v, *bounds, causal=causal, window_size=(left, right), return_attn_probs=True
        )
    else:
        attended, lse, *_ = torch.ops.aten._flash_attention_forward(
            q, k, v, *bounds, 0.0, causal, False, window_size_left=left, window_size_right=right
        )
    return attended, lse.T


def wants_flash(attention: str, device: torch.device, dtype: torch.dtype, head_dim: int) -> bool:
    """Whether FlashAttention, the Triton kernel and captured decode steps are used.

    `attention` is auto, sdpa or flash; ValueError if it is flash and that can't run here.
    """
    if attention not in ("auto", "sdpa", "flash"):
        raise ValueError(f"attention must be auto, sdpa or flash, got {attention}")
    if attention == "sdpa":
        return False
    missing = what_flash_lacks(device, dtype, head_dim)
    if missing and attention == "flash":
        raise ValueError(f"attention flash needs {missing}; choose auto")
    if missing and device.type == "cuda":
        logger.warning("attention takes more time and memory than it could: flash needs %s", missing)
    return missing is None


def what_flash_lacks(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """What is missing for flash attention, the Triton kernel and captured steps; None if nothing is."""
    if device.type != "cuda":
        return f"a GPU, got {device.type}"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"float16 or bfloat16, got {dtype}"
    if torch.cuda.get_device_capability(device) < (8, 0):
        return "a GPU of compute capability 8.0 or later"
    if head_dim % 8 or head_dim > 256:
        return f"heads of up to 256, a multiple of 8, got {head_dim}"
    return _what_triton_lacks(device, dtype, head_dim)


def _what_triton_lacks(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Triton compiles its launcher where it runs, with a C compiler and Python's headers."""
    try:
        from triton.errors import TritonError

        from model.attention.triton_kernel import attend_pages
    except ImportError as error:
        return f"Triton ({error})"
    page = torch.zeros(1, 1, 64, head_dim, dtype=dtype, device=device)
    table = torch.zeros(1, 1, dtype=torch.int32, device=device)
    try:
        attend_pages(page[0, :, :1], page, page, table, table[0], table[0] + 1)
    except torch.OutOfMemoryError:
        raise
    except (OSError, RuntimeError, TritonError, subprocess.CalledProcessError) as error:
        return f"what Triton compiles with, a C compiler and Python's headers ({error})"
    return None
