"""What every rank is told when it starts: the checkpoint, its number types, the device, room for rows."""

from dataclasses import dataclass
from pathlib import Path

import torch

from model.config import ModelConfig
from model.machine.available_memory import available_bytes
from model.machine.budget import DeviceMemory, cache_tokens, in_gib, needed_memory
from model.machine.device import (
    batch_rows,
    compute_dtype,
    default_device,
    device_name,
    dtype_name,
    page_size,
    required_device,
)


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
    adapter: Path | None = None  # of a LoRA adapter that is merged into the checkpoint
    hidden_layers: tuple[int, ...] = ()  # whose hidden states can be read, ascending

    @property
    def counters(self) -> int:
        """Slots of the routing counters: for rows, and for as many prefixes that rows share."""
        return 2 * self.slots

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
        device: str = "auto",
        least_cache_tokens: int = 1,
        adapter: str | Path | None = None,
        hidden_layers: tuple[int, ...] = (),
    ) -> "ExecutorOptions":
        """For this machine: None becomes what it offers, "auto" what suits it. See `Engine.load`."""
        found = default_device() if device == "auto" else required_device(device, tensor_parallel)
        slots = max_batch_rows or batch_rows(found)
        torch_dtype = compute_dtype(dtype, config, found)
        tokens = kv_cache_tokens
        if tokens is None:
            tokens = cache_tokens(
                config, slots, torch_dtype, found, tensor_parallel, quantization, len(hidden_layers)
            )
        least = kv_cache_tokens or least_cache_tokens
        needed = needed_memory(config, torch_dtype, tensor_parallel, least, quantization, len(hidden_layers))
        _require_memory(needed, torch_dtype, found, tensor_parallel, tokens, least)
        size = page_size(found)
        return cls(
            folder=Path(folder),
            dtype=torch_dtype,
            device=found,
            threads=threads or max(1, torch.get_num_threads() // tensor_parallel),
            slots=slots,
            pages=-(-tokens // size),
            page_size=size,
            quantization=quantization,
            attention=attention,
            statistics=statistics,
            random_weights=random_weights,
            adapter=Path(adapter) if adapter else None,
            hidden_layers=hidden_layers,
        )


def _require_memory(
    needed: DeviceMemory,
    dtype: torch.dtype,
    device: torch.device,
    tensor_parallel: int,
    tokens: int,
    least: int,
) -> None:
    """ValueError with what is needed and what is there, if the cache has room for fewer than `least` tokens.

    On a CPU a cache of a given size is not judged: it takes memory only as rows come.
    """
    if device.type == "cuda":
        free = torch.cuda.mem_get_info(device)[0]
        fits, share = needed.total <= free, ""
    elif device.type == "cpu":
        free = available_bytes()
        fits, share = tokens >= least, ", of which the cache takes half at most"
    else:  # no memory at all: a device of tests
        return
    if not fits:
        ranks = f", with tensor_parallel {tensor_parallel}" if tensor_parallel > 1 else ""
        raise ValueError(
            f"memory does not suffice on {device_name(device)}: {needed} are needed in "
            f"{dtype_name(dtype)}{ranks} for one row of {least:,} tokens, {in_gib(free)} are free{share}; "
            "use more tensor_parallel, a device with more memory, or fewer replicas on each machine"
        )
