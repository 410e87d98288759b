"""A checkpoint folder as llama.cpp reads it: one GGUF file, weights in float32 or bfloat16.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md. Names and layout are those of
llama.cpp's architecture "llama", which rotates neighbours where HF's checkpoints rotate halves.

hd head dimension, d hidden size.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFWriter, TokenType
from gguf.quants import quantize
from safetensors import safe_open

from model.config import ModelConfig

Array = npt.NDArray[np.float32]
_OF_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate_inp": "block_sparse_moe.gate",
}
_OF_EXPERT = {"ffn_gate_exps": "w1", "ffn_down_exps": "w2", "ffn_up_exps": "w3"}


def write_gguf(folder: Path, file: Path, dtype: torch.dtype = torch.float32) -> None:
    """From a checkpoint of one safetensors file with a tensor for each expert; ValueError for any other.

    In bfloat16 all weights are rounded so. Norms and routers, which llama.cpp wants in float32, are stored in
    that after they were rounded.
    """
    config = ModelConfig.from_folder(folder)
    if not (folder / "model.safetensors").exists() or not config.num_experts or config.tie_embeddings:
        raise ValueError(f"{folder}: llama.cpp is given one file, with experts and untied embeddings")
    if config.rope.kind != "default":
        raise ValueError(f"{folder}: llama.cpp is given a plain rope, this one is {config.rope.kind}")
    if config.sliding_window is not None:
        raise ValueError(f"{folder}: llama.cpp attends to all tokens, this model to a window")
    writer = GGUFWriter(str(file), "llama")
    _add_sizes(writer, config)
    _add_vocabulary(writer, config.vocab_size)
    with safe_open(folder / "model.safetensors", "pt") as stored:

        def read(name: str) -> Array:
            weights: Array = stored.get_tensor(f"{name}.weight").to(dtype).float().numpy()
            return weights

        def add(name: str, weights: Array) -> None:
            if dtype is torch.float32 or weights.ndim == 1 or name.endswith("ffn_gate_inp.weight"):
                writer.add_tensor(name, weights)
            else:
                kind = GGMLQuantizationType.BF16
                writer.add_tensor(name, quantize(weights, kind), raw_dtype=kind)

        add("token_embd.weight", read("model.embed_tokens"))
        add("output_norm.weight", read("model.norm"))
        add("output.weight", read("lm_head"))
        for layer in range(config.num_layers):
            ours, theirs = f"model.layers.{layer}", f"blk.{layer}"
            for name, heads in (("q", config.num_heads), ("k", config.num_kv_heads)):
                weights = neighbours_from_halves(read(f"{ours}.self_attn.{name}_proj"), heads)
                add(f"{theirs}.attn_{name}.weight", weights)
            for name, own in _OF_LAYER.items():
                add(f"{theirs}.{name}.weight", read(f"{ours}.{own}"))
            for name, own in _OF_EXPERT.items():
                experts = range(config.num_experts)
                stacked = np.stack([read(f"{ours}.block_sparse_moe.experts.{e}.{own}") for e in experts])
                add(f"{theirs}.{name}.weight", stacked)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    writer.close()


def neighbours_from_halves(weights: Array, heads: int) -> Array:
    """Reorder the rows of a projection [heads * hd, d]: within each head to 0, hd / 2, 1, hd / 2 + 1, ..."""
    halves = weights.reshape(heads, 2, -1, weights.shape[1])
    return halves.swapaxes(1, 2).reshape(weights.shape)


def _add_sizes(writer: GGUFWriter, config: ModelConfig) -> None:
    writer.add_context_length(config.max_positions)
    writer.add_embedding_length(config.dim)
    writer.add_block_count(config.num_layers)
    writer.add_feed_forward_length(config.ffn_dim)
    writer.add_head_count(config.num_heads)
    writer.add_head_count_kv(config.num_kv_heads)
    writer.add_layer_norm_rms_eps(config.norm_eps)
    writer.add_rope_freq_base(config.rope.theta)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_key_length(config.head_dim)
    writer.add_value_length(config.head_dim)
    writer.add_vocab_size(config.vocab_size)
    writer.add_expert_count(config.num_experts)
    writer.add_expert_used_count(config.num_experts_per_tok)


def _add_vocabulary(writer: GGUFWriter, size: int) -> None:
    """Add pieces of made-up text: prompts and generations are token ids."""
    special = [("<unk>", TokenType.UNKNOWN), ("<s>", TokenType.CONTROL), ("</s>", TokenType.CONTROL)]
    pieces = [*special, *((f"t{token}", TokenType.NORMAL) for token in range(len(special), size))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list([piece for piece, _ in pieces])
    writer.add_token_scores([0.0] * size)
    writer.add_token_types([kind for _, kind in pieces])
    writer.add_add_bos_token(False)
