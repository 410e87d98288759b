from pathlib import Path

import pytest
import torch

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
    assert (found.slots, found.page_size, found.pages) == (3, 32, 2)


def test_ranks_share_the_threads_unless_told_otherwise(options, monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 6)
    assert [options(tensor_parallel=size).threads for size in (1, 2, 4, 8)] == [6, 3, 1, 1]
    assert options(tensor_parallel=2, threads=5).threads == 5
