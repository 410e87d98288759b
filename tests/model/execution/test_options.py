from pathlib import Path

import pytest
import torch

from benchmarks.random_checkpoint import SIZES
from model.config import ModelConfig
from model.execution.options import ExecutorOptions

ASKED = {
    "dtype": "auto",
    "tensor_parallel": 1,
    "threads": None,
    "max_batch_rows": None,
    "kv_cache_tokens": None,
    "quantization": "none",
    "attention": "auto",
    "statistics": True,
    "random_weights": False,
}


@pytest.fixture
def options(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    config = ModelConfig.from_folder(checkpoint("mixtral"))
    return lambda **changes: ExecutorOptions.of("folder", config, **(ASKED | changes))


def test_what_is_not_asked_for_is_what_suits_the_machine(options):
    found = options()
    assert (found.folder, found.dtype, found.device) == (Path("folder"), torch.float32, torch.device("cpu"))
    assert (found.slots, found.pages * found.page_size) == (128, 128 * 96)


def test_the_cache_holds_at_least_what_is_asked_for(options):
    found = options(kv_cache_tokens=33, max_batch_rows=3)
    assert (found.slots, found.page_size, found.pages) == (3, 16, 3)


def test_ranks_share_the_threads_unless_told_otherwise(options, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert [options(tensor_parallel=size).threads for size in (1, 2, 4, 8)] == [6, 3, 1, 1]
    assert options(tensor_parallel=2, threads=5).threads == 5


def test_what_no_gpu_s_memory_holds_is_refused_with_numbers(monkeypatch):
    """Mixtral-8x7B in bfloat16: 93.4 GB of weights, for cards of 80 GB and of 141."""
    config = ModelConfig.from_dict(SIZES["8x7b"] | {"max_position_embeddings": 32768})
    asked = ASKED | {"device": "gpu", "least_cache_tokens": 32768}
    free = 0
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A card")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 0))
    free = 79 << 30
    expected = (
        r"memory does not suffice on A card: 92.1 GiB \(weights 87.0 GiB, cache 4.0 GiB, a step 1.1 GiB\) "
        r"are needed in bfloat16 for one row of 32,768 tokens, 79.0 GiB are free"
    )
    with pytest.raises(ValueError, match=expected):
        ExecutorOptions.of("folder", config, **asked)
    halves = ExecutorOptions.of("folder", config, **asked | {"tensor_parallel": 2})
    assert halves.dtype is torch.bfloat16
    assert 350_000 < halves.pages * halves.page_size < 500_000  # 85 % of what 46.7 GB of weights leave
    free = 140 << 30
    assert ExecutorOptions.of("folder", config, **asked).pages * 64 > 300_000
    with pytest.raises(ValueError, match=r"cache 122.1 GiB, .* for one row of 1,000,000 tokens"):
        ExecutorOptions.of("folder", config, **asked | {"kv_cache_tokens": 1_000_000})


def test_a_cpu_with_too_little_memory_for_the_longest_row_is_refused(options, monkeypatch):
    for module in ("budget", "available_memory"):
        monkeypatch.setattr(f"model.machine.{module}.available_bytes", lambda: 40 << 10)
    monkeypatch.setattr("model.execution.options.available_bytes", lambda: 40 << 10)
    few = options().pages * options().page_size
    assert options(least_cache_tokens=few - 15).pages * options().page_size == few
    with pytest.raises(ValueError, match="for one row of 1,000 tokens"):
        options(least_cache_tokens=1000)
