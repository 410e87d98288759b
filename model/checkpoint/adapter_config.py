"""What adapter_config.json says of a LoRA adapter. What can't be merged is refused by name."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from model.config_files.json_values import flag, positive_integer, positive_number, read_object, short

CONFIG = "adapter_config.json"
Number = TypeVar("Number", int, float)
_LARGEST_RANK = 1 << 16
# Of the settings those that change nothing about how an adapter is merged, or that are read below.
_KNOWN = {
    "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "peft_type", "init_lora_weights",
    "target_modules", "target_parameters", "exclude_modules", "modules_to_save", "layers_to_transform",
    "layers_pattern", "task_type", "base_model_name_or_path", "revision", "inference_mode", "auto_mapping",
    "lora_dropout", "peft_version", "megatron_core", "qalora_group_size", "ensure_weight_tying",
    "eva_config", "loftq_config", "corda_config", "lora_ga_config", "bias",
}  # fmt: skip
# A pattern that repeats what repeats may take for ever to match nothing.
_LONGEST, _REPEATS = 200, re.compile(r"[*+{]")
_PLAIN_STARTS = (None, True, False, "gaussian", "eva", "orthogonal")
_WHY = {
    "use_dora": "DoRA",
    "alora_invocation_tokens": "activated LoRA, which holds for a part of each row",
    "trainable_token_indices": "token embeddings of their own",
    "layer_replication": "layers that are repeated",
    "lora_bias": "biases, which this model has nowhere",
    "use_qalora": "QALoRA",
    "fan_in_fan_out": "weights that lie transposed",
}


@dataclass(frozen=True)
class AdapterConfig:
    rank: int
    alpha: float
    ranks: dict[str, int]  # of modules whose name ends as the pattern says, in order
    alphas: dict[str, float]
    stabilised: bool  # rsLoRA: scaled by the root of the rank

    @classmethod
    def from_folder(cls, folder: Path) -> "AdapterConfig":
        """ValueError for an adapter that can't be merged; FileNotFoundError if there is none."""
        path = folder / CONFIG
        if not path.is_file():
            raise FileNotFoundError(f"{folder}: no {CONFIG}; give the folder of a PEFT adapter")
        data, source = read_object(path), str(path)
        kind = data.get("peft_type")
        if kind != "LORA":
            raise ValueError(f"{source}: peft_type must be LORA, got {short(kind)}")
        for key, value in data.items():
            if key not in _KNOWN and value:
                what = _WHY.get(key, "a variant that is not known here")
                raise ValueError(f"{source}: {key} is set: {what}; it is not merged (peft: merge_and_unload)")
        if data.get("bias") not in (None, "none"):
            raise ValueError(
                f"{source}: bias must be none, got {short(data['bias'])}: the model has no biases"
            )
        start = data.get("init_lora_weights")
        if isinstance(start, list | dict) or start not in _PLAIN_STARTS:
            raise ValueError(
                f"{source}: init_lora_weights {short(start)} changes the base, too: it is not merged (peft: "
                "merge_and_unload)"
            )
        return cls(
            rank=positive_integer(data.get("r"), "r", _LARGEST_RANK, source),
            alpha=positive_number(data.get("lora_alpha"), "lora_alpha", source),
            ranks={
                key: positive_integer(value, f"rank_pattern.{key[:60]}", _LARGEST_RANK, source)
                for key, value in _patterns(data, "rank_pattern", source)
            },
            alphas={
                key: positive_number(value, f"alpha_pattern.{key[:60]}", source)
                for key, value in _patterns(data, "alpha_pattern", source)
            },
            stabilised=flag(data, "use_rslora", source),
        )

    def rank_of(self, *modules: str) -> int:
        """`modules`: the names that PEFT may know a module by."""
        return _first(self.ranks, modules, self.rank)

    def scaling_of(self, *modules: str) -> float:
        rank = self.rank_of(*modules)
        return _first(self.alphas, modules, self.alpha) / (math.sqrt(rank) if self.stabilised else rank)


def _patterns(data: dict[str, Any], key: str, source: str) -> list[tuple[str, Any]]:
    patterns = data.get(key) or {}
    if not isinstance(patterns, dict):
        raise ValueError(f"{source}: {key} must be an object, got {short(patterns)}")
    for pattern in patterns:
        if len(pattern) > _LONGEST or len(_REPEATS.findall(pattern)) > 3 or re.search(r"\)[*+{]", pattern):
            raise ValueError(
                f"{source}: {key}: {pattern[:60]!r} repeats too much or is too long for a module's name"
            )
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"{source}: {key}: {pattern[:60]!r} is no pattern: {error}") from error
    return [*patterns.items()]


def _first(patterns: dict[str, Number], modules: tuple[str, ...], default: Number) -> Number:
    found = (
        value
        for pattern, value in patterns.items()
        if any(re.match(rf"(.*\.)?({pattern})$", module) for module in modules)
    )
    return next(found, default)
