"""Sizes of a Mixtral or Mistral checkpoint, read from its config.json and from nowhere else."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class ModelConfig:
    vocab_size: int
    dim: int
    ffn_dim: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    num_experts: int  # 0: a dense feed-forward block, as in Mistral-7B
    num_experts_per_tok: int
    norm_eps: float
    rope_theta: float
    sliding_window: int | None  # keys a token may attend to, itself among them
    max_positions: int
    tie_embeddings: bool
    dtype: str
    eos_token_ids: tuple[int, ...]

    @classmethod
    def from_folder(cls, folder: str | Path) -> "ModelConfig":
        """Read `folder`/config.json, and further end-of-sequence ids from generation_config.json.

        Raises:
            FileNotFoundError: there is no config.json.
            ValueError: it describes a model that is neither Mixtral nor Mistral, or lacks a size.
        """
        path = Path(folder) / "config.json"
        if not path.is_file():
            raise FileNotFoundError(f"{folder}: no config.json; give a folder with a checkpoint in HF format")
        data = _read_object(path)
        generation_path = path.with_name("generation_config.json")
        generation = _read_object(generation_path) if generation_path.is_file() else {}
        return cls.from_dict(data, generation, source=str(path))

    @classmethod
    def from_dict(
        cls, data: dict[str, Any], generation: dict[str, Any] | None = None, source: str = "config.json"
    ) -> "ModelConfig":
        _check_supported(data, source)
        try:
            mixture = data["model_type"] == "mixtral"
            heads = int(data["num_attention_heads"])
            dim = int(data["hidden_size"])
            return cls(
                vocab_size=int(data["vocab_size"]),
                dim=dim,
                ffn_dim=int(data["intermediate_size"]),
                num_layers=int(data["num_hidden_layers"]),
                num_heads=heads,
                num_kv_heads=int(data.get("num_key_value_heads") or heads),
                head_dim=int(data.get("head_dim") or dim // heads),
                num_experts=int(data["num_local_experts"]) if mixture else 0,
                num_experts_per_tok=int(data["num_experts_per_tok"]) if mixture else 0,
                norm_eps=float(data["rms_norm_eps"]),
                rope_theta=_rope_theta(data, source),
                sliding_window=int(data["sliding_window"]) if data.get("sliding_window") else None,
                max_positions=int(data["max_position_embeddings"]),
                tie_embeddings=bool(data.get("tie_word_embeddings", False)),
                dtype=str(data.get("dtype") or data.get("torch_dtype") or "float32"),
                eos_token_ids=_eos_token_ids(data, generation or {}),
            )
        except KeyError as error:
            raise ValueError(f"{source}: the key {error} is missing") from error


def _read_object(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON") from error
    if not isinstance(data, dict):
        raise ValueError(f"{path}: must hold a JSON object, got {type(data).__name__}")
    return data


def _check_supported(data: dict[str, Any], source: str) -> None:
    kind = data.get("model_type")
    if kind not in ("mixtral", "mistral"):
        raise ValueError(f"{source}: model_type must be mixtral or mistral, got {kind!r}")
    activation = data.get("hidden_act", "silu")
    if activation != "silu":
        raise ValueError(f"{source}: hidden_act must be silu, got {activation!r}")
    if data.get("quantization_config"):
        raise ValueError(f"{source}: the weights are quantized; only float32, bfloat16 and float16 are read")


def _rope_theta(data: dict[str, Any], source: str) -> float:
    """transformers 5 writes `rope_parameters`, older files `rope_theta`; the former wins."""
    rope = data.get("rope_parameters") or data.get("rope_scaling") or {}
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ValueError(f"{source}: rope_type must be default, got {kind!r}")
    theta = rope.get("rope_theta", data.get("rope_theta"))
    if theta is None:
        raise ValueError(f"{source}: the key 'rope_theta' is missing")
    return float(theta)


def _eos_token_ids(*sources: dict[str, Any]) -> tuple[int, ...]:
    """The union over all files: fine-tunes add a second end-of-sequence token in one of them only."""
    ids: set[int] = set()
    for source in sources:
        value = source.get("eos_token_id")
        ids.update(value if isinstance(value, list) else [] if value is None else [value])
    return tuple(sorted(ids))
