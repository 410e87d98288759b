"""Which tensor of a checkpoint fills which part of the model, on this rank.

Names are HF's for Mixtral and Mistral. A `Source` pairs a tensor's name and the slice this rank needs with
the view of our (often fused) parameter that it fills; loading copies one way, saving the other.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from model.config import ModelConfig
from model.network.attention import Attention
from model.network.experts import Experts, FeedForward
from model.network.heads import LabelHead
from model.network.tensor_parallel import VocabParallelEmbedding
from model.network.transformer import Block, Transformer
from model.trained_head import HeadKind

Slices = tuple[slice, ...]
ALL = slice(None)


@dataclass(frozen=True)
class Source:
    name: str
    shape: tuple[int, ...]  # of the whole tensor in the checkpoint
    slices: Slices  # this rank's part of it
    target: Tensor  # the view of our parameter with that part's shape


def weight_sources(model: Transformer) -> Iterator[Source]:
    """Every tensor that the model needs from a checkpoint."""
    config, embedding = model.config, model.embedding
    vocabulary = (config.vocab_size, config.dim)
    yield Source("model.embed_tokens.weight", vocabulary, (embedding.rows, ALL), embedding.weight)
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        prefix = f"model.layers.{layer}."
        yield _vector(prefix + "input_layernorm.weight", block.attention_norm.weight)
        yield from _attention(prefix + "self_attn.", block.attention, config)
        yield _vector(prefix + "post_attention_layernorm.weight", block.ffn_norm.weight)
        if isinstance(block.feed_forward, Experts):
            yield from _experts(prefix + "block_sparse_moe.", block.feed_forward, config)
        else:
            yield from _feed_forward(prefix + "mlp.", block.feed_forward, config)
    yield _vector("model.norm.weight", model.norm.weight)
    yield from _head(model)


def _head(model: Transformer) -> Iterator[Source]:
    config, head = model.config, model.head
    if isinstance(head, LabelHead):
        name = "qa_outputs" if config.trained.kind is HeadKind.SPAN else "score"
        yield Source(f"{name}.weight", tuple(head.weight.shape), (ALL, ALL), head.weight)
        if head.bias is not None:
            yield _vector(f"{name}.bias", head.bias)
    elif isinstance(head, VocabParallelEmbedding) and head is not model.embedding:
        yield Source("lm_head.weight", (config.vocab_size, config.dim), (head.rows, ALL), head.weight)


def _vector(name: str, weight: Tensor) -> Source:
    return Source(name, tuple(weight.shape), (ALL,), weight)


def _attention(prefix: str, attention: Attention, config: ModelConfig) -> Iterator[Source]:
    hd, D = config.head_dim, config.dim
    heads = _scaled(attention.tp.share(config.num_heads, "attention heads"), hd)
    kv_heads = _scaled(attention.tp.kv_share(config.num_kv_heads), hd)
    q, k, v = attention.wqkv.weight.split([part.stop - part.start for part in (heads, kv_heads, kv_heads)])
    yield Source(prefix + "q_proj.weight", (config.num_heads * hd, D), (heads, ALL), q)
    yield Source(prefix + "k_proj.weight", (config.num_kv_heads * hd, D), (kv_heads, ALL), k)
    yield Source(prefix + "v_proj.weight", (config.num_kv_heads * hd, D), (kv_heads, ALL), v)
    yield Source(prefix + "o_proj.weight", (D, config.num_heads * hd), (ALL, heads), attention.wo.weight)


def _scaled(heads: slice, head_dim: int) -> slice:
    return slice(heads.start * head_dim, heads.stop * head_dim)


def _experts(prefix: str, experts: Experts, config: ModelConfig) -> Iterator[Source]:
    yield Source(prefix + "gate.weight", (config.num_experts, config.dim), (ALL, ALL), experts.gate)
    share = experts.tp.share(config.ffn_dim, "intermediate_size")
    for expert in range(config.num_experts):
        names = [f"{prefix}experts.{expert}.{name}.weight" for name in ("w1", "w3", "w2")]
        yield from _swiglu(names, experts.w13[expert], experts.w2[expert], share, config)


def _feed_forward(prefix: str, dense: FeedForward, config: ModelConfig) -> Iterator[Source]:
    names = [f"{prefix}{name}.weight" for name in ("gate_proj", "up_proj", "down_proj")]
    share = dense.tp.share(config.ffn_dim, "intermediate_size")
    yield from _swiglu(names, dense.w13.weight, dense.w2.weight, share, config)


def _swiglu(names: list[str], w13: Tensor, w2: Tensor, share: slice, config: ModelConfig) -> Iterator[Source]:
    wide, narrow = (config.ffn_dim, config.dim), (config.dim, config.ffn_dim)
    w1, w3 = w13.chunk(2)
    yield Source(names[0], wide, (share, ALL), w1)
    yield Source(names[1], wide, (share, ALL), w3)
    yield Source(names[2], narrow, (ALL, share), w2)
