"""Sizes of a Mixtral or Mistral checkpoint, read from its config.json or params.json and nowhere else."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.json_values import flag, positive_integer, positive_number, read_object, short
from model.mistral_params import config_of_params
from model.rope import Rope, rope_of
from model.trained_head import UNSTATED, TrainedHead

__all__ = ["ModelConfig", "read_object"]

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
_DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True)
class FewBits:
    """Weights that stay in the few bits that they are stored in."""

    numbers: int = 0  # how many there are
    bytes: int = 0  # of codes, scales and zeros in memory, of all ranks together


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
    rope: Rope
    sliding_window: int | None  # keys a token may attend to, itself among them
    max_positions: int
    tie_embeddings: bool
    dtype: str
    eos_token_ids: tuple[int, ...]
    trained: TrainedHead = UNSTATED
    few_bits: FewBits = FewBits()  # see `model.checkpoint.load.check_checkpoint`

    @classmethod
    def from_folder(cls, folder: str | Path) -> "ModelConfig":
        """Read `folder`/config.json, and further end-of-sequence ids from generation_config.json.

        Without a config.json it is Mistral's own params.json.

        Raises:
            FileNotFoundError: there is neither.
            ValueError: it describes a model that is neither Mixtral nor Mistral, or lacks a size.
        """
        path = Path(folder) / "config.json"
        params = path.with_name("params.json")
        if not path.is_file():
            if not params.is_file():
                raise FileNotFoundError(f"{folder}: no config.json; give a folder with a checkpoint")
            data = config_of_params(read_object(params), str(params))
            return cls.from_dict(data, source=f"{params}, as config.json has it")
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
            return positive_integer(value, key, _LARGEST.get(key, 1 << 31), source)

        mixture = data["model_type"] == "mixtral"
        heads, dim = size("num_attention_heads"), size("hidden_size")
        max_positions = size("max_position_embeddings")
        rope = rope_of(data, max_positions, source)
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
            norm_eps=positive_number(data.get("rms_norm_eps"), "rms_norm_eps", source),
            rope=rope,
            sliding_window=_sliding_window(data, source, size),
            max_positions=max(max_positions, rope.context),
            tie_embeddings=flag(data, "tie_word_embeddings", source),
            dtype=_dtype(data, source),
            eos_token_ids=_eos_token_ids(source, data, generation or {}),
            trained=TrainedHead.from_dict(data, source),
        )
        if config.head_dim % 2:
            raise ValueError(f"{source}: head_dim must be even, got {config.head_dim}")
        if config.head_dim == 2 and rope.kind == "dynamic":
            raise ValueError(f"{source}: head_dim must be more than 2 where rope_type is dynamic")
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


def _check_supported(data: dict[str, Any], source: str) -> None:
    kind = data.get("model_type")
    if kind not in ("mixtral", "mistral"):
        raise ValueError(f"{source}: model_type must be mixtral or mistral, got {short(kind)}")
    activation = data.get("hidden_act", "silu")
    if activation != "silu":
        raise ValueError(f"{source}: hidden_act must be silu, got {short(activation)}")


def _sliding_window(data: dict[str, Any], source: str, size: Callable[[str], int]) -> int | None:
    """One for all layers, or none. A dense Mistral must say so: transformers takes 4096 where it does not."""
    if data["model_type"] == "mistral" and "sliding_window" not in data:
        raise ValueError(
            f"{source}: sliding_window is missing, and programs differ in what they take then; write null if "
            "the model attends to its whole context, or 4096 as transformers takes"
        )
    window = size("sliding_window") if data.get("sliding_window") is not None else None
    if set(data.get("layer_types") or ()) - {"full_attention" if window is None else "sliding_attention"}:
        raise ValueError(f"{source}: layer_types differ from sliding_window, or from each other")
    return window


def _dtype(data: dict[str, Any], source: str) -> str:
    value = data.get("dtype") or data.get("torch_dtype") or "float32"
    if value not in _DTYPES:
        raise ValueError(f"{source}: dtype must be one of {', '.join(_DTYPES)}, got {short(value)}")
    return str(value)


def _eos_token_ids(source: str, *files: dict[str, Any]) -> tuple[int, ...]:
    """The union over all files: fine-tunes add a second end-of-sequence token in one of them only."""
    ids: set[int] = set()
    for data in files:
        value = data.get("eos_token_id")
        given = value if isinstance(value, list) else [] if value is None else [value]
        if any(type(token_id) is not int for token_id in given):
            raise ValueError(
                f"{source}: eos_token_id must be an integer or a list of them, got {short(value)}"
            )
        ids.update(given)
    return tuple(sorted(ids))
