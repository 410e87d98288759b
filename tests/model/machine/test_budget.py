import pytest
import torch

from model.attention.kv_cache import KVCache
from model.checkpoint.load import load_transformer
from model.config import ModelConfig
from model.machine.budget import (
    bytes_per_token,
    cache_tokens,
    engine_bytes,
    row_tokens,
    weight_bytes,
)
from model.network.tensor_parallel import TensorParallel

CPU = torch.device("cpu")
FLOAT = torch.float32


@pytest.mark.parametrize("variant", ["mixtral", "four-experts", "wide-heads", "one-kv-head", "tied", "dense"])
def test_weight_bytes_count_every_parameter(variant, checkpoint):
    model = load_transformer(checkpoint(variant), FLOAT)
    held = sum(parameter.numel() * 4 for parameter in model.parameters())
    assert weight_bytes(model.config, FLOAT) == held
    assert weight_bytes(model.config, torch.bfloat16) == held // 2


@pytest.mark.parametrize("tensor_parallel", [1, 2, 4])
@pytest.mark.parametrize("variant", ["mixtral", "wide-heads", "one-kv-head"])
def test_bytes_per_token_are_what_the_cache_takes(variant, tensor_parallel, checkpoint):
    config = ModelConfig.from_folder(checkpoint(variant))
    cache = KVCache(config, 5, 2, TensorParallel(0, tensor_parallel), FLOAT, CPU)
    held = sum(tensor.numel() * 4 for tensor in cache.keys + cache.values)
    assert bytes_per_token(config, FLOAT, tensor_parallel) * 10 == held


def test_the_cache_holds_full_contexts_where_memory_allows(checkpoint):
    config = ModelConfig.from_folder(checkpoint("mixtral"))
    assert cache_tokens(config, 3, FLOAT, CPU, 1) == 3 * 96
    large = cache_tokens(config, 10**9, FLOAT, CPU, 1)
    assert large < 10**9 * 96
    assert large * bytes_per_token(config, FLOAT, 1) <= 4 << 30


def test_with_a_sliding_window_a_full_context_takes_two_windows(checkpoint):
    """Of 16 tokens each, in whole pages, wherever in a page a window begins."""
    config = ModelConfig.from_folder(checkpoint("rolling"))
    assert [row_tokens(config, tokens, CPU) for tokens in (20, 60, 512)] == [20, 60, 64]
    assert cache_tokens(config, 3, FLOAT, CPU, 1) == 3 * 64
    assert row_tokens(config, 512, torch.device("cuda")) == 256, "a GPU's pages are larger"


@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_an_engine_takes_weights_a_cache_and_what_its_processes_need(
    checkpoint, tensor_parallel, monkeypatch
):
    monkeypatch.setattr("model.machine.budget.available_bytes", lambda: 1 << 40)
    config = ModelConfig.from_folder(checkpoint("mixtral"))
    token = tensor_parallel * bytes_per_token(config, FLOAT, tensor_parallel)
    without = weight_bytes(config, FLOAT) + tensor_parallel * (2 << 30)
    assert engine_bytes(config, FLOAT, 3, 50, tensor_parallel) == without + 50 * token
    for rows in (3, 10**9):
        tokens = cache_tokens(config, rows, FLOAT, CPU, tensor_parallel)
        assert engine_bytes(config, FLOAT, rows, None, tensor_parallel) == without + tokens * token


def test_a_cache_takes_no_more_than_half_of_what_is_available(checkpoint, monkeypatch):
    monkeypatch.setattr("model.machine.budget.available_bytes", lambda: 40 << 10)
    config = ModelConfig.from_folder(checkpoint("mixtral"))
    assert cache_tokens(config, 10**9, FLOAT, CPU, 1) == (20 << 10) // bytes_per_token(config, FLOAT, 1)
    assert cache_tokens(config, 10**9, FLOAT, CPU, 2) == (10 << 10) // bytes_per_token(config, FLOAT, 2)
