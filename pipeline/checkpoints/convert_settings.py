"""The files beside the weights of a checkpoint that `convert` writes: the tokenizer's, and config.json."""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from model.checkpoint.write_safetensors import Planned
from model.config import ModelConfig, read_object
from model.mistral_params import config_of_params
from pipeline.checkpoints.convert_quantized import DTYPES
from pipeline.checkpoints.located import TOKENIZER_FILES, matching_files


def write_settings(
    source: Path,
    target: Path,
    config: ModelConfig,
    tensors: Sequence[Planned],
    entry: dict[str, Any] | None,
) -> None:
    """The tokenizer's files as they are, and config.json last."""
    names = [entry.name for entry in source.iterdir() if entry.is_file()]
    for name in matching_files(names, (*TOKENIZER_FILES, "generation_config.json")):
        shutil.copyfile(source / name, target / name)
    if (source / "config.json").is_file():
        data = read_object(source / "config.json")
    else:
        data = config_of_params(read_object(source / "params.json"), "params.json")
        data["torch_dtype"] = DTYPES[tensors[0].dtype]
    data["tie_word_embeddings"] = config.tie_embeddings
    for old in ("quantization_config", "compression_config"):
        data.pop(old, None)
    if entry:
        data["quantization_config"] = entry
    write_json(target / "config.json", data)


def write_json(file: Path, data: dict[str, Any]) -> None:
    part = file.with_name(f"{file.name}.part")
    with open(part, "w", encoding="utf-8") as out:
        json.dump(data, out, indent=2)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
