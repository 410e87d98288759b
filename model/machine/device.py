"""The device that is there, the number type to compute in, and sizes that follow from them."""

import platform
from pathlib import Path

import torch

from model.config import ModelConfig

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_PAGE_TOKENS = 32
_GPU_PAGE_TOKENS = 64  # what model.attention.triton_kernel reads at a time


def default_device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def batch_rows(device: torch.device) -> int:
    """Rows that decode together, unless told otherwise."""
    return 256 if device.type == "cuda" else 128


def machine(device: torch.device, dtype: torch.dtype, attention: str) -> dict[str, str]:
    """What the bits of a result depend on, beside the model and the batch: equal for machines that agree."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
    else:
        name = f"{_cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"
    found = {"device": name, "torch": torch.__version__, "dtype": str(dtype).removeprefix("torch.")}
    if device.type == "cuda":
        found["attention"] = attention
    return found


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def compute_dtype(dtype: str, config: ModelConfig, device: torch.device) -> torch.dtype:
    """`auto` is the checkpoint's own type on a GPU; a CPU without native bf16 is 5 times faster in fp32."""
    if dtype == "auto":
        dtype = config.dtype if device.type == "cuda" else "float32"
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be auto or one of {', '.join(_DTYPES)}, got {dtype}")
    return _DTYPES[dtype]


def page_size(device: torch.device) -> int:
    """Tokens of a page of the cache."""
    return _GPU_PAGE_TOKENS if device.type == "cuda" else _PAGE_TOKENS
