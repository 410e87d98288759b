"""A Mixtral of random weights, as a checkpoint folder that any reader of HF's format takes."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from model.checkpoint.load import random_transformer, save_weights

_COMMON: dict[str, Any] = {
    "architectures": ["MixtralForCausalLM"],
    "model_type": "mixtral",
    "hidden_act": "silu",
    "max_position_embeddings": 40_960,  # the longest workload fits
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
_8X7B: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "dtype": "bfloat16",
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
    # Mixtral-8x7B's own shape: 93 GB in bfloat16
    "8x7b": _COMMON | _8X7B,
    # half of its layers: as many bytes in bfloat16 as all of them have in 8 bits
    "8x7b-half": _COMMON | _8X7B | {"num_hidden_layers": 16},
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
DRAWN_ON_THE_DEVICE = ("8x7b", "8x7b-half")


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
    """config.json and model.safetensors (float32), the same for every call.

    For the sizes of DRAWN_ON_THE_DEVICE it writes config.json alone.
    """
    (folder / "config.json").write_text(json.dumps(SIZES[size], indent=1))
    if size not in DRAWN_ON_THE_DEVICE:
        save_weights(random_transformer(folder, torch.float32), folder / "model.safetensors", torch.float32)


def has_weights(folder: Path) -> bool:
    """False for a folder whose weights are drawn where they are used."""
    return any(folder.glob("*.safetensors"))
