"""Which layout the weights of linear layers and experts get, by device, number type and quantization."""

import torch

from model.kernels.compiled_kernels import compiled_operators
from model.linear.int8 import int8
from model.linear.layout import Layout
from model.linear.packed import packed
from model.linear.panels import inputs_together, int8_panels, multiplies_int8, panels


def layout_for(dtype: torch.dtype, device: torch.device, quantization: str) -> Layout | None:
    """The layout there; None: the weights stay as they are.

    ValueError if the weights can't be quantized so on this machine.
    """
    on_cpu = device.type == "cpu"
    if quantization == "int8":
        if not on_cpu or dtype is not torch.float32:
            raise ValueError(f"quantization int8 computes in float32 on CPUs, got {dtype} on {device.type}")
        if multiplies_int8():
            return int8_panels
        if torch.backends.quantized.engine not in ("x86", "fbgemm"):
            raise ValueError("quantization int8 needs an x86 CPU: torch has no FBGEMM for this one")
        return int8
    if quantization == "fp8":
        raise ValueError("quantization fp8 is for GPUs; uploads in fp8 are read, and dequantized")
    if quantization in ("int4", "nf4"):
        return None  # they are laid out as they are read: see `model.checkpoint.held_weights`
    if quantization != "none":
        raise ValueError(f"quantization must be none, int8, int4 or nf4, got {quantization}")
    if not on_cpu:
        return None
    native = _native_dtypes()
    if compiled_operators() is None or dtype not in (torch.float32, torch.bfloat16):
        return packed if dtype in native else None
    # oneDNN multiplies bfloat16 where panels would have to convert it.
    converted = dtype is torch.bfloat16 and inputs_together(dtype) == 1
    return packed if converted and dtype in native else panels


def _native_dtypes() -> list[torch.dtype]:
    """Number types that oneDNN multiplies on this processor without converting them."""
    if not torch.backends.mkldnn.is_available():
        return []
    has_bf16 = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return [torch.float32, torch.bfloat16] if has_bf16 else [torch.float32]
