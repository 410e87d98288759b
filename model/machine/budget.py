"""What the machine offers: device, number type, and how many tokens its memory can hold."""

import platform
from pathlib import Path

import torch

from model.config import ModelConfig
from model.machine.available_memory import available_bytes

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_CPU_CACHE_BYTES = 4 << 30
_CPU_RANK_BYTES = 2 << 30  # libraries, compiled kernels and what a step computes
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


def bytes_per_token(config: ModelConfig, dtype: torch.dtype, tensor_parallel: int) -> int:
    """Bytes of one token's keys and values in all layers, on one rank."""
    kv_heads = max(1, config.num_kv_heads // tensor_parallel)
    return 2 * config.num_layers * kv_heads * config.head_dim * dtype.itemsize


def cache_tokens(
    config: ModelConfig, rows: int, dtype: torch.dtype, device: torch.device, tensor_parallel: int
) -> int:
    """Tokens that the cache should hold: full contexts of all rows or, if memory is short, what fits."""
    if device.type == "cuda":
        weights = weight_bytes(config, dtype) // tensor_parallel
        free = torch.cuda.mem_get_info(device)[0]
        budget = int(0.85 * (free - weights))
    else:
        most = _most_cpu_cache_bytes(config, dtype, tensor_parallel)
        budget = min(available_bytes() // (2 * tensor_parallel), most)
    return _tokens_within(budget, config, rows, dtype, tensor_parallel)


def engine_bytes(
    config: ModelConfig, dtype: torch.dtype, rows: int, tokens: int | None, tensor_parallel: int
) -> int:
    """The most memory that an engine takes on a CPU, all ranks together; `tokens` of the cache, None: auto.

    Weights that will be quantized are read in whole first. Of the cache only what rows fill takes memory.
    """
    if tokens is None:
        most = _most_cpu_cache_bytes(config, dtype, tensor_parallel)
        tokens = _tokens_within(most, config, rows, dtype, tensor_parallel)
    rank = tokens * bytes_per_token(config, dtype, tensor_parallel) + _CPU_RANK_BYTES
    return weight_bytes(config, dtype) + tensor_parallel * rank


def _most_cpu_cache_bytes(config: ModelConfig, dtype: torch.dtype, tensor_parallel: int) -> int:
    """The largest cache of one rank on a CPU: it can hold one context at least."""
    one_context = config.max_positions * bytes_per_token(config, dtype, tensor_parallel)
    return max(_CPU_CACHE_BYTES, one_context)


def _tokens_within(
    budget: int, config: ModelConfig, rows: int, dtype: torch.dtype, tensor_parallel: int
) -> int:
    """Tokens that fit into `budget` bytes on one rank, but no more than full contexts of all rows."""
    fitting = budget // bytes_per_token(config, dtype, tensor_parallel)
    return max(min(fitting, rows * config.max_positions), 1)


def page_size(device: torch.device) -> int:
    """Tokens of a page of the cache."""
    return _GPU_PAGE_TOKENS if device.type == "cuda" else _PAGE_TOKENS


def weight_bytes(config: ModelConfig, dtype: torch.dtype) -> int:
    """Bytes of all weights of the model, not sharded."""
    heads = (config.num_heads + config.num_kv_heads) * 2 * config.head_dim
    experts = max(1, config.num_experts)
    layer = config.dim * (heads + 3 * config.ffn_dim * experts + config.num_experts + 2)
    vocabularies = 1 if config.tie_embeddings else 2
    return (config.num_layers * layer + config.dim * (config.vocab_size * vocabularies + 1)) * dtype.itemsize
