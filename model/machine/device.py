"""The device that is there, the number type to compute in, and sizes that follow from them."""

import os
import platform
from functools import cache
from pathlib import Path

import torch

from model.config import ModelConfig

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CPUINFO = Path("/proc/cpuinfo")
_PAGE_TOKENS = 16
_GPU_PAGE_TOKENS = 64  # what model.attention.triton_kernel reads at a time


def default_device() -> torch.device:
    return torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")


def required_device(name: str, count: int) -> torch.device:
    """The first of `count` GPUs, or the CPU. `name` is gpu or cpu; ValueError if torch sees fewer GPUs."""
    if name == "cpu":
        return torch.device("cpu")
    if name != "gpu":
        raise ValueError(f"device must be auto, gpu or cpu, got {name}")
    if missing := _what_gpus_lack(count):
        raise ValueError(f"device gpu: {missing}")
    return torch.device("cuda", 0)


def _what_gpus_lack(count: int) -> str | None:
    """Why torch can't use so many GPUs here, and what to do; None if it can."""
    build = f"torch {torch.__version__}"
    if torch.version.cuda is None and torch.version.hip is None:
        return f"{build} is built without CUDA and can use none: install a build of torch that has it"
    if not torch.cuda.is_available():
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            why = str(error).strip().partition("\n")[0].rstrip(".")
        else:
            why = "it finds none"
        return (
            f"{build} is built for CUDA {torch.version.cuda} and can use none ({why}): update the driver, or "
            "install a build of torch for the one that is there"
        )
    if torch.cuda.device_count() < count:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "not set")
        return (
            f"{count} are needed, torch sees {torch.cuda.device_count()} (CUDA_VISIBLE_DEVICES is {visible})"
        )
    return None


def batch_rows(device: torch.device) -> int:
    """Rows that decode together, unless told otherwise."""
    return 256 if device.type == "cuda" else 128


def machine(device: torch.device, dtype: torch.dtype, attention: str, experts: str) -> dict[str, str]:
    """What the bits of a result depend on, beside the model and the batch: equal for machines that agree."""
    found = {"device": device_name(device), "torch": torch.__version__, "dtype": dtype_name(dtype)}
    return found | {"attention": attention, "experts": experts}


def device_name(device: torch.device) -> str:
    """The GPU's; of a CPU also the instructions that torch uses."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "cpu":
        return f"{_cpu_name()}, {torch.backends.cpu.get_cpu_capability()}"
    return device.type


def dtype_name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _cpu_name() -> str:
    named = _of_cpu("model name")
    return named[0] if named else platform.processor() or platform.machine()


def has_native_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 itself, by AMX or AVX-512; known on Linux alone."""
    flags = _of_cpu("flags")
    native = bool(flags) and not {"amx_bf16", "avx512_bf16"}.isdisjoint(flags[0].split())
    return native and torch.backends.mkldnn.is_available()


@cache
def _of_cpu(line: str) -> tuple[str, ...]:
    """What /proc/cpuinfo says under this name, once a processor."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        return ()
    return tuple(each.partition(":")[2].strip() for each in lines if each.partition("\t")[0] == line)


def auto_dtype(stored: str, device_type: str) -> str:
    """The number type that `auto` stands for, given that of the checkpoint's weights.

    On a GPU it is theirs. On a CPU it is bfloat16 if theirs is and the processor multiplies it itself, else
    float32: emulated, bfloat16 takes longer, and it would round weights that are stored in float16.
    """
    if device_type == "cuda" or (stored == "bfloat16" and has_native_bfloat16()):
        return stored
    return "float32"


def compute_dtype(dtype: str, config: ModelConfig, device: torch.device) -> torch.dtype:
    if dtype == "auto":
        dtype = auto_dtype(config.dtype, device.type)
    if dtype not in _DTYPES:
        raise ValueError(f"dtype must be auto or one of {', '.join(_DTYPES)}, got {dtype}")
    return _DTYPES[dtype]


def page_size(device: torch.device) -> int:
    """Tokens of a page of the cache."""
    return _GPU_PAGE_TOKENS if device.type == "cuda" else _PAGE_TOKENS
