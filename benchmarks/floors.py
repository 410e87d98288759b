"""What the machine could do at best: its memory's bandwidth, its rate of multiplying, and what follows."""

import time
from collections.abc import Callable

import torch

from benchmarks.workloads import Workload
from model.config import ModelConfig
from model.memory import weight_bytes

_BYTES = 512 << 20
_SIZE = 1024
_REPEATS = 5


def bandwidth() -> float:
    """Bytes a second that a sum over memory reads, the best of several."""
    stream = torch.ones(_BYTES // 4)
    return _BYTES / _fastest(lambda: stream.sum())


def gemm_rate() -> float:
    """fp32 operations a second of a large matrix multiplication, the best of several."""
    a, b = torch.randn(_SIZE, _SIZE), torch.randn(_SIZE, _SIZE)
    return 2 * _SIZE**3 / _fastest(lambda: a @ b)


def floor_seconds(workload: Workload, config: ModelConfig, bytes_a_second: float, flops: float) -> float:
    """Every token multiplied once at the best rate, or all weights read once a step, whichever is longer.

    In float32; an instruction that prompts share is one prompt's.
    """
    generated = sum(workload.new_tokens)
    prompts = sum(map(len, workload.prompts)) - (len(workload.prompts) - 1) * len(workload.instruction)
    decoded = generated - sum(n > 0 for n in workload.new_tokens)
    predicted = generated or len(workload.prompts)
    heads = 2 * (config.num_heads + config.num_kv_heads) * config.head_dim
    experts = max(1, config.num_experts_per_tok)
    a_token = config.num_layers * config.dim * (heads + 3 * config.ffn_dim * experts + config.num_experts)
    operations = 2 * ((prompts + decoded) * a_token + predicted * config.dim * config.vocab_size)
    steps = max(1, *workload.new_tokens)
    return max(operations / flops, steps * weight_bytes(config, torch.float32) / bytes_a_second)


def _fastest(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        call()
        times.append(time.perf_counter() - started)
    return min(times)
