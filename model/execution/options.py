"""What every rank is told when it starts: the checkpoint, its number types, the device, room for rows."""

from dataclasses import dataclass
from pathlib import Path

import torch

from model.config import ModelConfig
from model.machine.budget import cache_tokens
from model.machine.device import batch_rows, compute_dtype, default_device, page_size


@dataclass(frozen=True)
class ExecutorOptions:
    folder: Path
    dtype: torch.dtype
    device: torch.device
    threads: int  # of the CPU, for each rank
    slots: int  # rows that run at a time
    pages: int  # of the cache
    page_size: int  # tokens
    quantization: str
    attention: str
    statistics: bool  # count what the router chooses
    random_weights: bool = False

    @classmethod
    def of(
        cls,
        folder: str | Path,
        config: ModelConfig,
        *,
        dtype: str,
        tensor_parallel: int,
        threads: int | None,
        max_batch_rows: int | None,
        kv_cache_tokens: int | None,
        quantization: str,
        attention: str,
        statistics: bool,
        random_weights: bool,
    ) -> "ExecutorOptions":
        """For this machine: None becomes what it offers, "auto" what suits it. See `Engine.load`."""
        device = default_device()
        slots = max_batch_rows or batch_rows(device)
        torch_dtype = compute_dtype(dtype, config, device)
        tokens = kv_cache_tokens or cache_tokens(config, slots, torch_dtype, device, tensor_parallel)
        size = page_size(device)
        return cls(
            folder=Path(folder),
            dtype=torch_dtype,
            device=device,
            threads=threads or max(1, torch.get_num_threads() // tensor_parallel),
            slots=slots,
            pages=-(-tokens // size),
            page_size=size,
            quantization=quantization,
            attention=attention,
            statistics=statistics,
            random_weights=random_weights,
        )
