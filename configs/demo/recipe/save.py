"""Writes the trained model as an HF checkpoint: bf16 safetensors, configuration, tokenizer, chat template."""

import json
from pathlib import Path
from typing import Any

import torch

from configs.demo.recipe.tokenizer import VOCAB_SIZE
from model.checkpoint.load import save_weights
from model.network.transformer import Transformer

# Mixtral-8x7B-Instruct-v0.1's, for tools that render text; the ids come from sentencepiece turn by turn.
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}"
)


def config_json() -> dict[str, Any]:
    """The tiny model's configuration: 3.6 million parameters, 1.3 million of them active."""
    return {
        "architectures": ["MixtralForCausalLM"],
        "model_type": "mixtral",
        "vocab_size": VOCAB_SIZE,
        "hidden_size": 128,
        "intermediate_size": 256,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_local_experts": 8,
        "num_experts_per_tok": 2,
        "hidden_act": "silu",
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "rope_theta": 1e6,
        "sliding_window": None,
        "attention_dropout": 0.0,
        "initializer_range": 0.02,
        "router_aux_loss_coef": 0.02,
        "output_router_logits": False,
        "tie_word_embeddings": False,
        "use_cache": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "bfloat16",
    }


def save_checkpoint(folder: Path, model: Transformer, tokenizer_model: bytes) -> None:
    """Write every file of the checkpoint into `folder`, replacing older ones."""
    folder.mkdir(parents=True, exist_ok=True)
    save_weights(model, folder / "model.safetensors", torch.bfloat16)
    (folder / "tokenizer.model").write_bytes(tokenizer_model)
    _write_json(folder / "config.json", config_json())
    _write_json(folder / "generation_config.json", {"bos_token_id": 1, "eos_token_id": 2})
    _write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "LlamaTokenizer",
            "legacy": True,
            "add_bos_token": True,
            "add_eos_token": False,
            "bos_token": "<s>",
            "eos_token": "</s>",
            "unk_token": "<unk>",
            "pad_token": None,
            "clean_up_tokenization_spaces": False,
            "model_max_length": 2048,
            "chat_template": CHAT_TEMPLATE,
        },
    )


def _write_json(file: Path, data: dict[str, Any]) -> None:
    file.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
