"""Sizes of a Mixtral or Mistral checkpoint, read from its config.json and from nowhere else."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Far beyond any real checkpoint. A config.json with absurd sizes must be refused before memory is allocated
# for them or a million layers are built. Products of these fit into 64 bits.
_LARGEST = {
    "vocab_size": 1 << 24,
    "hidden_size": 1 << 20,
    "intermediate_size": 1 << 20,
    "num_hidden_layers": 1 << 10,
    "num_attention_heads": 1 << 12,
    "num_key_value_heads": 1 << 12,
    "head_dim": 1 << 12,
    "num_local_experts": 1 << 10,
}
_LARGEST_JSON = 64 << 20  # bytes of a config or an index
_LARGEST_NUMBER = 1e30
_DTYPES = ("float32", "bfloat16", "float16")


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
        data = read_object(path)
        generation_path = path.with_name("generation_config.json")
        generation = read_object(generation_path) if generation_path.is_file() else {}
        return cls.from_dict(data, generation, source=str(path))

    @classmethod
    def from_dict(
        cls, data: dict[str, Any], generation: dict[str, Any] | None = None, source: str = "config.json"
    ) -> "ModelConfig":
        """The same from the files' contents; `source` is named in errors."""
        _check_supported(data, source)

        def size(key: str, default: int | None = None) -> int:
            value = default if data.get(key) is None else data[key]
            largest = _LARGEST.get(key, 1 << 31)
            if type(value) is not int or not 1 <= value <= largest:
                raise ValueError(
                    f"{source}: {key} must be a positive integer up to {largest}, got {_short(value)}"
                )
            return value

        mixture = data["model_type"] == "mixtral"
        heads, dim = size("num_attention_heads"), size("hidden_size")
        config = cls(
            vocab_size=size("vocab_size"),
            dim=dim,
            ffn_dim=size("intermediate_size"),
            num_layers=size("num_hidden_layers"),
            num_heads=heads,
            num_kv_heads=size("num_key_value_heads", default=heads),
            head_dim=size("head_dim", default=dim // heads),
            num_experts=size("num_local_experts") if mixture else 0,
            num_experts_per_tok=size("num_experts_per_tok") if mixture else 0,
            norm_eps=_number(data, "rms_norm_eps", source),
            rope_theta=_rope_theta(data, source),
            sliding_window=_sliding_window(data, source, size),
            max_positions=size("max_position_embeddings"),
            tie_embeddings=_flag(data, "tie_word_embeddings", source),
            dtype=_dtype(data, source),
            eos_token_ids=_eos_token_ids(source, data, generation or {}),
        )
        if config.head_dim % 2:
            raise ValueError(f"{source}: head_dim must be even, got {config.head_dim}")
        if config.num_heads % config.num_kv_heads:
            raise ValueError(
                f"{source}: num_key_value_heads must divide num_attention_heads ({heads}), "
                f"got {config.num_kv_heads}"
            )
        if config.num_experts_per_tok > config.num_experts:
            raise ValueError(
                f"{source}: num_experts_per_tok must be at most num_local_experts ({config.num_experts}), "
                f"got {config.num_experts_per_tok}"
            )
        return config


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file; ValueError if it holds anything else, or far more than it should."""
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(f"{path}: must be at most {_LARGEST_JSON >> 20} MiB large")
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
        raise ValueError(f"{source}: model_type must be mixtral or mistral, got {_short(kind)}")
    activation = data.get("hidden_act", "silu")
    if activation != "silu":
        raise ValueError(f"{source}: hidden_act must be silu, got {_short(activation)}")


def _rope_theta(data: dict[str, Any], source: str) -> float:
    """As transformers 5 decides: `rope_scaling` replaces `rope_parameters`, which win over `rope_theta`."""
    key = "rope_scaling" if data.get("rope_scaling") else "rope_parameters"
    rope = data.get(key) or {}
    if not isinstance(rope, dict):
        raise ValueError(f"{source}: {key} must be an object, got {_short(rope)}")
    kind = rope.get("rope_type", rope.get("type", "default"))
    if kind != "default":
        raise ValueError(f"{source}: {key}: rope_type must be default, got {_short(kind)}")
    return _number(rope if "rope_theta" in rope else data, "rope_theta", source)


def _sliding_window(data: dict[str, Any], source: str, size: Callable[[str], int]) -> int | None:
    """One for all layers, or none. A dense Mistral must say so: transformers takes 4096 where it does not."""
    if data["model_type"] == "mistral" and "sliding_window" not in data:
        raise ValueError(
            f"{source}: sliding_window is missing, and programs differ in what they take then; write null if "
            "the model attends to its whole context, or 4096 as transformers takes"
        )
    window = size("sliding_window") if data.get("sliding_window") is not None else None
    kinds = set(data.get("layer_types") or ())
    if kinds - {"full_attention" if window is None else "sliding_attention"}:
        raise ValueError(f"{source}: layer_types differ from sliding_window, or from each other")
    return window


def _number(data: dict[str, Any], key: str, source: str) -> float:
    value = data.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _LARGEST_NUMBER:
        raise ValueError(f"{source}: {key} must be a positive number, got {_short(value)}")
    return float(value)


def _flag(data: dict[str, Any], key: str, source: str) -> bool:
    value = data.get(key) or False
    if not isinstance(value, bool):
        raise ValueError(f"{source}: {key} must be true or false, got {_short(value)}")
    return value


def _dtype(data: dict[str, Any], source: str) -> str:
    value = data.get("dtype") or data.get("torch_dtype") or "float32"
    if value not in _DTYPES:
        raise ValueError(f"{source}: dtype must be one of {', '.join(_DTYPES)}, got {_short(value)}")
    return str(value)


def _eos_token_ids(source: str, *files: dict[str, Any]) -> tuple[int, ...]:
    """The union over all files: fine-tunes add a second end-of-sequence token in one of them only."""
    ids: set[int] = set()
    for data in files:
        value = data.get("eos_token_id")
        given = value if isinstance(value, list) else [] if value is None else [value]
        if any(type(token_id) is not int for token_id in given):
            raise ValueError(
                f"{source}: eos_token_id must be an integer or a list of them, got {_short(value)}"
            )
        ids.update(given)
    return tuple(sorted(ids))


def _short(value: Any) -> str:
    """For a message: the value may be a megabyte, or nested beyond what `repr` can follow."""
    return type(value).__name__ if isinstance(value, list | dict) else repr(value)[:60]
