"""Memory that a model takes: its weights, its cache, an engine, and how many tokens a machine can hold."""

from dataclasses import dataclass

import torch

from model.config import ModelConfig
from model.machine.available_memory import available_bytes
from model.machine.device import page_size
from model.sliding_window import SlidingWindow
from model.trained_head import HeadKind

LOGITS_AT_A_TIME = 1 << 23  # where only the log-probabilities of some tokens are kept of them
GIB = 1 << 30
STEP_TOKENS = 4096  # of prompts that a step computes together; longer prompts are computed in parts
_BESIDE_DECODING, _BESIDE_DECODING_GPU = 256, 1024  # where many rows decode; a GPU's time goes into weights
_GPU_RESERVE = 0.15  # of what the weights leave of a GPU: what a step takes at least
_CPU = torch.device("cpu")
_CPU_CACHE_BYTES = 4 << 30
_HELD_BITS = {"int4": 4.5, "nf4": 4.5}  # of a weight with its share of scales
_CPU_RANK_BYTES = 2 << 30  # libraries, compiled kernels and what a step computes


def tokens_beside_decoding(device: torch.device) -> int:
    """Tokens of prompts, at least, that a step computes beside many rows that decode."""
    return _BESIDE_DECODING_GPU if device.type == "cuda" else _BESIDE_DECODING


def bytes_per_token(config: ModelConfig, dtype: torch.dtype, tensor_parallel: int) -> int:
    """Bytes of one token's keys and values in all layers, on one rank."""
    kv_heads = max(1, config.num_kv_heads // tensor_parallel)
    return 2 * config.num_layers * kv_heads * config.head_dim * dtype.itemsize


def row_tokens(config: ModelConfig, tokens: int, device: torch.device) -> int:
    """Tokens of cache that a row of so many tokens needs: with a sliding window, those of two at most."""
    return SlidingWindow(config.sliding_window, page_size(device)).needed_tokens(tokens)


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes that an engine needs of each of its devices, for its longest row alone."""

    weights: int
    cache: int
    activations: int  # what a step computes

    @property
    def total(self) -> int:
        return self.weights + self.cache + self.activations

    def __str__(self) -> str:
        weights, cache, step = map(in_gib, (self.weights, self.cache, self.activations))
        return f"{in_gib(self.total)} (weights {weights}, cache {cache}, a step {step})"


def in_gib(size: int) -> str:
    """Bytes as people read them, in GiB, or MiB where they are few."""
    return f"{size / GIB:.1f} GiB" if size >= GIB / 10 else f"{size / (1 << 20):.1f} MiB"


def needed_memory(
    config: ModelConfig, dtype: torch.dtype, tensor_parallel: int, tokens: int, quantization: str = "none"
) -> DeviceMemory:
    """For a cache of so many tokens."""
    return DeviceMemory(
        weights=-(-weight_bytes(config, dtype, quantization) // tensor_parallel),
        cache=tokens * bytes_per_token(config, dtype, tensor_parallel),
        activations=pass_bytes(config, dtype, tensor_parallel, min(STEP_TOKENS, config.max_positions)),
    )


def cache_tokens(
    config: ModelConfig,
    rows: int,
    dtype: torch.dtype,
    device: torch.device,
    tensor_parallel: int,
    quantization: str = "none",
) -> int:
    """Tokens that the cache should hold: full contexts of all rows or, if memory is short, what fits.

    Of a full context it is what a row needs of it.
    """
    if device.type == "cuda":
        needed = needed_memory(config, dtype, tensor_parallel, 0, quantization)
        left = torch.cuda.mem_get_info(device)[0] - needed.weights
        budget = min(int((1 - _GPU_RESERVE) * left), left - needed.activations)
    else:
        most = _most_cpu_cache_bytes(config, dtype, tensor_parallel)
        budget = min(available_bytes() // (2 * tensor_parallel), most)
    return _tokens_within(budget, config, rows, dtype, device, tensor_parallel)


def engine_bytes(
    config: ModelConfig,
    dtype: torch.dtype,
    rows: int,
    tokens: int | None,
    tensor_parallel: int,
    quantization: str = "none",
) -> int:
    """The most memory that an engine takes on a CPU, all ranks together; `tokens` of the cache, None: auto.

    Weights that will be in 8 bits are read in whole first. Of the cache only what rows fill takes memory.
    """
    if tokens is None:
        most = _most_cpu_cache_bytes(config, dtype, tensor_parallel)
        tokens = _tokens_within(most, config, rows, dtype, _CPU, tensor_parallel)
    rank = tokens * bytes_per_token(config, dtype, tensor_parallel) + _CPU_RANK_BYTES
    return weight_bytes(config, dtype, quantization) + tensor_parallel * rank


def _most_cpu_cache_bytes(config: ModelConfig, dtype: torch.dtype, tensor_parallel: int) -> int:
    """The largest cache of one rank on a CPU: it can hold one context at least."""
    one_context = row_tokens(config, config.max_positions, _CPU)
    return max(_CPU_CACHE_BYTES, one_context * bytes_per_token(config, dtype, tensor_parallel))


def _tokens_within(
    budget: int,
    config: ModelConfig,
    rows: int,
    dtype: torch.dtype,
    device: torch.device,
    tensor_parallel: int,
) -> int:
    """Tokens that fit into `budget` bytes on one rank, but no more than full contexts of all rows."""
    fitting = budget // bytes_per_token(config, dtype, tensor_parallel)
    return max(min(fitting, rows * row_tokens(config, config.max_positions, device)), 0)


def weight_bytes(config: ModelConfig, dtype: torch.dtype, quantization: str = "none") -> int:
    """Bytes of all weights of the model, not sharded, once they are loaded.

    In 4 bits those of attention and feed-forward layers are small already while they are read. Of a quantized
    upload it is known once `check_checkpoint` has seen its files.
    """
    heads = (config.num_heads + config.num_kv_heads) * 2 * config.head_dim
    experts = max(1, config.num_experts)
    layer = config.dim * (heads + 3 * config.ffn_dim * experts + config.num_experts + 2)
    vocabularies = 2 if config.trained.kind is HeadKind.LANGUAGE and not config.tie_embeddings else 1
    all_of_them = config.num_layers * layer + config.dim * (config.vocab_size * vocabularies + 1)
    few, size = 0, 0
    if bits := _HELD_BITS.get(quantization):
        few = config.dim * (heads + 3 * config.ffn_dim * experts) * config.num_layers
        size = int(few * bits / 8)
    elif quantization == "none":
        few, size = config.few_bits.numbers, config.few_bits.bytes
    return (all_of_them - few) * dtype.itemsize + size


def pass_bytes(config: ModelConfig, dtype: torch.dtype, tensor_parallel: int, tokens: int) -> int:
    """The most memory that a forward pass of so many tokens takes on one rank, beside weights and cache.

    That is its widest layer's, or that of the logits that are in memory at a time. Of a row of choices the
    tokens are its own part of the prompt and `ChoiceScores.largest_tree`.
    """
    chosen = config.num_experts_per_tok if config.num_experts else 1
    feed_forward = chosen * (4 * config.ffn_dim // tensor_parallel + 2 * config.dim)
    layer = tokens * (feed_forward + 4 * config.dim) * dtype.itemsize
    logits = max(LOGITS_AT_A_TIME, config.vocab_size) * (dtype.itemsize + 2 * torch.float32.itemsize)
    return max(layer, logits)
