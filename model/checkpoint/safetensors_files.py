"""The safetensors files of a checkpoint: one, or sharded with an index. Pickled weights are never opened."""

from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from model.config import read_object


def weight_files(folder: str | Path) -> list[Path]:
    """The safetensors files of a checkpoint; an index must name files of this folder only."""
    folder = Path(folder)
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        files = sorted(folder.glob("model*.safetensors"))
        if not files:
            raise FileNotFoundError(f"{folder}: no model*.safetensors; only safetensors weights are read")
        return files
    try:
        names = sorted(set(read_object(index)["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index}: not an index of safetensors files") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{index}: names {name!r}, which is not a safetensors file of this folder")
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder / name}: named in the index, but missing")
    return [folder / name for name in names]


def open_weights(file: Path) -> Any:
    """A safetensors file, of which slices can be read; ValueError if it is none."""
    try:
        return safe_open(file, framework="pt")
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{file}: not a safetensors file: {error}") from error
