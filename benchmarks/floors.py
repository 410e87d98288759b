"""What the machine could do at best: its memory's bandwidth, its rate of multiplying, and what follows."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from benchmarks.workload import Workload
from model.config import ModelConfig
from model.machine.budget import weight_bytes

_REPEATS = 5


@dataclass(frozen=True)
class Speed:
    """A device's measured rates, the best of several tries: bytes read a second, operations a second."""

    bytes_a_second: float
    flops: float

    @classmethod
    def of(cls, device: torch.device, dtype: torch.dtype) -> "Speed":
        speed = cls(_bandwidth(device, dtype), _gemm_rate(device, dtype))
        if device.type == "cuda":
            torch.cuda.empty_cache()  # contenders need the memory
        return speed


@dataclass(frozen=True)
class Floor:
    """What a workload takes at least: every token multiplied once, all weights read once a step."""

    operations: int
    bytes: int

    @classmethod
    def of(cls, workload: Workload, config: ModelConfig, dtype: torch.dtype) -> "Floor":
        """What prompts begin with that peers compute once counts once."""
        generated = sum(workload.new_tokens)
        prompts = sum(map(len, workload.prompts)) + workload.question_tokens - workload.repeated_tokens
        decoded = generated - sum(n > 0 for n in workload.new_tokens)
        predicted = generated or len(workload.prompts)
        heads = 2 * (config.num_heads + config.num_kv_heads) * config.head_dim
        experts = max(1, config.num_experts_per_tok)
        a_token = config.num_layers * config.dim * (heads + 3 * config.ffn_dim * experts + config.num_experts)
        operations = 2 * ((prompts + decoded) * a_token + predicted * config.dim * config.vocab_size)
        return cls(operations, max(1, *workload.new_tokens) * weight_bytes(config, dtype))

    def seconds(self, speed: Speed) -> float:
        return max(self.operations / speed.flops, self.bytes / speed.bytes_a_second)


def _bandwidth(device: torch.device, dtype: torch.dtype) -> float:
    read = (8 << 30) if device.type == "cuda" else (512 << 20)
    stream = torch.ones(read // dtype.itemsize, dtype=dtype, device=device)
    return read / _fastest(lambda: stream.sum())


def _gemm_rate(device: torch.device, dtype: torch.dtype) -> float:
    size = 8192 if device.type == "cuda" else 1024
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    return 2 * size**3 / _fastest(lambda: a @ b)


def _fastest(call: Callable[[], object]) -> float:
    times = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        call()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return min(times)
