"""The way on which an engine computes, and why it is not a faster one: for reports and for people."""

import torch

from model.attention.decode_cpu import CpuDecode
from model.attention.flash import FLASH, wants_flash, what_flash_lacks
from model.config import ModelConfig
from model.linear.choose import layout_for
from model.linear.panels import compiled_for
from model.machine.device import device_name, dtype_name
from model.network.experts import has_grouped_matmul


def computing_path(
    config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
    *,
    quantization: str,
    attention: str,
    fused: bool,
    captured: bool,
    grouped: bool,
    decodes_compiled: bool,
    experts_compiled: str | None,
) -> dict[str, str]:
    """Device, number type, and what computes attention, experts and decode steps, each by its name.

    `attention` is what was asked for. `fused`: flash attention and the Triton kernels run; `captured`: decode
    steps are CUDA graphs; `grouped`: one kernel multiplies all experts; `decodes_compiled`: on a CPU it is
    done in C++; `experts_compiled`: what `compiled_for` says. On a GPU, `without_flash` and `without_graphs`
    say what is missing.
    """
    on_gpu = device.type == "cuda"
    path = {
        "device": device_name(device),
        "dtype": dtype_name(dtype),
        "quantization": quantization,
        "attention": FLASH if fused else "torch",
        "decode": "triton" if fused else "compiled" if decodes_compiled else "torch",
        "experts": experts_compiled or ("together" if on_gpu and grouped else "one by one"),
        "steps": "captured" if captured else "eager",
    }
    if on_gpu and not fused:
        asked = attention == "sdpa"
        missing = None if asked else what_flash_lacks(device, dtype, config.head_dim)
        path["without_flash"] = "model.attention is sdpa" if asked else f"it needs {missing}"
    if on_gpu and not captured:
        path["without_graphs"] = (
            "they need experts in one kernel: bfloat16, and compute capability 9 or 10"
            if fused
            else "they need flash attention"
        )
    return path


def expected_path(
    config: ModelConfig,
    device: torch.device,
    dtype: torch.dtype,
    *,
    quantization: str,
    attention: str,
    tensor_parallel: int,
) -> dict[str, str]:
    """That of an engine loaded here; ValueError if flash or int8 is asked for and can't run."""
    fused = wants_flash(attention, device, dtype, config.head_dim)
    widths = config.dim, config.ffn_dim // tensor_parallel
    few_bits = quantization in ("int4", "nf4") or (quantization == "none" and config.few_bits.numbers > 0)
    grouped = not config.num_experts or (not few_bits and has_grouped_matmul(device, dtype, *widths))
    layout = layout_for(dtype, device, quantization)
    return computing_path(
        config,
        device,
        dtype,
        quantization=quantization,
        attention=attention,
        fused=fused,
        captured=fused and grouped,
        grouped=grouped,
        decodes_compiled=device.type == "cpu" and CpuDecode.is_compiled(),
        experts_compiled=None if few_bits else compiled_for(layout, dtype),
    )
