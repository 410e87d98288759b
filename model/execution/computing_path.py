"""The way on which an engine computes, and why it is not a faster one: for reports and for people."""

from model.attention.flash import FLASH, what_flash_lacks
from model.execution.options import ExecutorOptions
from model.machine.device import device_name, dtype_name


def computing_path(
    options: ExecutorOptions, head_dim: int, *, fused: bool, captured: bool, grouped: bool
) -> dict[str, str]:
    """Device, number type, and what computes attention, experts and decode steps, each by its name.

    `fused`: flash attention and the Triton kernel run; `captured`: decode steps are CUDA graphs; `grouped`:
    one kernel multiplies all experts. On a GPU, `without_flash` and `without_graphs` say what is missing.
    """
    on_gpu = options.device.type == "cuda"
    path = {
        "device": device_name(options.device),
        "dtype": dtype_name(options.dtype),
        "quantization": options.quantization,
        "attention": FLASH if fused else "torch",
        "decode": "triton" if fused else "torch",
        "experts": "together" if on_gpu and grouped else "one by one",
        "steps": "captured" if captured else "eager",
    }
    if on_gpu and not fused:
        asked = options.attention == "sdpa"
        missing = None if asked else what_flash_lacks(options.device, options.dtype, head_dim)
        path["without_flash"] = "model.attention is sdpa" if asked else f"it needs {missing}"
    if on_gpu and not captured:
        path["without_graphs"] = (
            "they need flash attention"
            if not fused
            else "they need experts in one kernel: bfloat16, and compute capability 9 or 10"
        )
    return path
