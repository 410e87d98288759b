"""Stretched ropes, Mistral's own format and adapters that lie, don't fit, or would take for ever."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tests.hostile.bad_checkpoints import HUGE, config, index
from tests.hostile.case import Case, write_model

PARAMS = {
    "dim": 128, "n_layers": 4, "head_dim": 32, "hidden_dim": 256, "n_heads": 4, "n_kv_heads": 2,
    "norm_eps": 1e-5, "vocab_size": 1024, "moe": {"num_experts": 8, "num_experts_per_tok": 2},
}  # fmt: skip
LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
Q = "base_model.model.model.layers.0.self_attn.q_proj"
PAIR = {f"{Q}.lora_A.weight": torch.ones(2, 128), f"{Q}.lora_B.weight": torch.ones(128, 2)}
YARN = {"type": "yarn", "factor": 4.0}


def mistral(message: str, change: Callable[[Path], object] = lambda model: None, **params: Any) -> Case:
    """A folder in Mistral's own format, that is changed."""

    def make(folder: Path) -> None:
        model = write_model(folder)
        for name in ("config.json", "generation_config.json"):
            (model / name).unlink()
        (model / "model.safetensors").rename(model / "consolidated.safetensors")
        (model / "params.json").write_text(json.dumps(PARAMS | params))
        change(model)

    return Case(make, refused=message)


def adapter(
    message: str,
    tensors: dict[str, torch.Tensor] | bytes = PAIR,
    name: str = "adapter_model.safetensors",
    **keys: Any,
) -> Case:
    """A job with an adapter."""

    def make(folder: Path) -> dict[str, Any]:
        write_model(folder)
        (folder / "adapter").mkdir()
        if isinstance(tensors, bytes):
            (folder / "adapter" / name).write_bytes(tensors)
        else:
            save_file(tensors, folder / "adapter" / name)
        (folder / "adapter" / "adapter_config.json").write_text(json.dumps(LORA | keys))
        return {"model": {"path": str(folder / "model"), "adapter": str(folder / "adapter")}}

    return Case(make, refused=message)


FORMATS = {
    "a rope that is stretched by infinity": config(
        "rope_scaling: factor must be a positive number", rope_scaling=YARN | {"factor": float("inf")}
    ),
    "a rope that turns no times": config(
        "beta_fast and beta_slow must be at least", rope_scaling=YARN | {"beta_slow": 1e-320}
    ),
    "a rope of an origin beyond all numbers": config(
        "original_max_position_embeddings must be a positive integer",
        rope_scaling=YARN | {"original_max_position_embeddings": 1 << 62},
    ),
    "params.json of nonsense": mistral(
        "params.json: not valid JSON", lambda model: (model / "params.json").write_bytes(b"{")
    ),
    "params.json of another model": mistral("vision_encoder: a model with these", vision_encoder={"a": 1}),
    "params.json of a billion layers": mistral("num_hidden_layers must be a positive", n_layers=HUGE),
    "params.json of a billion experts": mistral(
        "num_local_experts must be a positive", moe={"num_experts": HUGE, "num_experts_per_tok": 2}
    ),
    "params.json with a window of a hundred digits": mistral(
        "sliding_window must be one number", sliding_window="9" * 100
    ),
    "params.json beside weights of Hugging Face's": mistral("this is a name of Hugging Face's format"),
    "params.json beside weights that are cut": mistral(
        "consolidated.safetensors: not a safetensors file",
        lambda model: os.truncate(model / "consolidated.safetensors", 1000),
    ),
    "params.json beside pickles alone": mistral(
        "consolidated.00.pth cannot be used: loading them could run code",
        lambda model: (model / "consolidated.safetensors").rename(model / "consolidated.00.pth"),
    ),
    "an index of Mistral's that climbs out": mistral(
        "is not a safetensors file of this",
        lambda model: (model / "consolidated.safetensors.index.json").write_bytes(index("../a.safetensors")),
    ),
    "an adapter that is none": adapter("r must be a positive integer", r=None),
    "an adapter of infinite rank": adapter("r must be a positive integer", r=1 << 40),
    "an adapter of infinite strength": adapter("lora_alpha must be a positive", lora_alpha=float("inf")),
    "an adapter with a pattern that is none": adapter("is no pattern", rank_pattern={"(" * 150: 2}),
    "an adapter whose pattern tries all ways": adapter(
        "repeats too much", rank_pattern={"(.*)*" * 8 + "!": 2}
    ),
    "an adapter of another method": adapter("peft_type must be LORA, got 'IA3'", peft_type="IA3"),
    "an adapter that is a recipe for code": adapter("auto_map is set", auto_map={"AutoModel": "run.py"}),
    "an adapter of another base": adapter(
        "is for a weight of shape", PAIR | {f"{Q}.lora_B.weight": torch.ones(4096, 2)}
    ),
    "an adapter for what the model lacks": adapter(
        "the model has no weight that this is for",
        {name.replace("q_proj", "z_proj"): value for name, value in PAIR.items()},
    ),
    "an adapter that is a pickle": adapter(
        "adapter_model.bin cannot be used", b"\x80\x04", "adapter_model.bin"
    ),
    "an adapter of garbage": adapter("adapter_model.safetensors: not a safetensors file", b"\xff" * 100),
}
