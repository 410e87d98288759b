"""A Mixtral of random weights, as a checkpoint folder that any reader of HF's format takes."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from model.checkpoint import save_weights
from model.config import ModelConfig
from model.transformer import Transformer

_COMMON: dict[str, Any] = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_act": "silu",
    "max_position_embeddings": 4096,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "sliding_window": None,
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "dtype": "float32",
}
SIZES: dict[str, dict[str, Any]] = {
    # 214 M parameters: what two CPU cores run in seconds, with experts that don't fit their caches
    "214m": _COMMON
    | {
        "vocab_size": 32000,
        "hidden_size": 512,
        "intermediate_size": 1792,
        "num_hidden_layers": 8,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
    "tiny": _COMMON
    | {
        "vocab_size": 256,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    },
}
_STD = 0.02


@contextmanager
def checkpoint_or_random(checkpoint: Path | None, size: str) -> Iterator[Path]:
    """The checkpoint or, if there is none, a temporary one of random weights."""
    if checkpoint is not None:
        yield checkpoint
        return
    with tempfile.TemporaryDirectory(prefix="random-mixtral-") as folder:
        write_checkpoint(Path(folder), size)
        yield Path(folder)


def write_checkpoint(folder: Path, size: str) -> None:
    """config.json and model.safetensors (float32), the same for every call."""
    config = SIZES[size]
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    model = Transformer(ModelConfig.from_dict(config))
    generator = torch.Generator().manual_seed(0)
    for name, parameter in model.named_parameters():
        if name.endswith("norm.weight"):
            parameter.fill_(1.0)
        else:
            parameter.normal_(0.0, _STD, generator=generator)
    save_weights(model, folder / "model.safetensors", torch.float32)
