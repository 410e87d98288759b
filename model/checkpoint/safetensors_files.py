"""The files of a checkpoint that are read, decided here for all who load, fetch, hash or examine one.

Weights are one safetensors file, or shards with an index: in Hugging Face's format where there is a
config.json, else in Mistral's own, which has a params.json. Pickled weights are never opened.
"""

import re
from collections.abc import Collection
from pathlib import Path

from safetensors import SafetensorError

from model.checkpoint.quantized.stated import GPTQ, OLD_FILES, Stated, stated_quantization
from model.checkpoint.ranged_file import RangedFile
from model.checkpoint.upload import require_known_upload, require_weights
from model.checkpoint.weight_folder import LocalFile, WeightFile
from model.config import read_object

INDEX = "model.safetensors.index.json"
MISTRAL_INDEX = "consolidated.safetensors.index.json"
CONFIG_FILES = ("config.json", "generation_config.json", INDEX, *OLD_FILES)
MISTRAL_CONFIG_FILES = ("params.json", MISTRAL_INDEX)
_OF_GPTQ = r"gptq_model.*\.safetensors"  # as AutoGPTQ calls them
_PLAIN = re.compile(r"(model|consolidated)(-\d+-of-\d+)?\.safetensors")


def weight_files(folder: str | Path) -> list[Path]:
    """The safetensors files of a checkpoint; see `weight_names`."""
    return [Path(folder) / name for name in weight_names(folder)]


def weight_names(folder: str | Path, names: Collection[str] | None = None) -> list[str]:
    """The names of a checkpoint's weight files, sorted, all of its own folder.

    An index decides. Without one they are model.safetensors or its shards, and a variant
    (model.fp16.safetensors) only where there is nothing else. Where model.safetensors lies beside an index of
    other files, transformers reads the former and other programs the latter: neither can be trusted.

    Args:
        names: all files of the checkpoint, where `folder` holds only its configuration yet.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: it is another kind of upload, or its files disagree.
    """
    folder = Path(folder)
    names = [entry.name for entry in folder.iterdir()] if names is None else names
    config = read_object(folder / "config.json") if (folder / "config.json").is_file() else None
    index, stem = (INDEX, "model") if config is not None else (MISTRAL_INDEX, "consolidated")
    try:
        require_known_upload(names, config)
        stated = stated_quantization(folder, names, config) if config is not None else None
        if (folder / index).is_file():
            return _indexed(folder / index, names)
        found = _matching(names, rf"{stem}.*\.safetensors")
        if not found and stated and stated.method == GPTQ:
            found = _matching(names, _OF_GPTQ)
        require_weights(names, found, stem)
    except (ValueError, FileNotFoundError) as error:
        raise type(error)(f"{folder}: {error}") from None
    return [name for name in found if _PLAIN.fullmatch(name)] or found


def quantization_of(folder: str | Path) -> Stated | None:
    """How the weights of a checkpoint in this folder are quantized; None: they are plain numbers."""
    folder = Path(folder)
    if is_mistral_format(folder):
        return None
    names = [entry.name for entry in folder.iterdir()]
    return stated_quantization(folder, names, read_object(folder / "config.json"))


def is_mistral_format(folder: str | Path) -> bool:
    """Whether it is read as Mistral's own format: as long as there is a config.json, it is not."""
    return not (Path(folder) / "config.json").is_file() and (Path(folder) / "params.json").is_file()


def config_files(folder: str | Path) -> list[str]:
    """The files that say what the weights are, as far as the folder holds them."""
    files = MISTRAL_CONFIG_FILES if is_mistral_format(folder) else CONFIG_FILES
    return [name for name in files if (Path(folder) / name).is_file()]


def _matching(names: Collection[str], pattern: str) -> list[str]:
    return sorted(name for name in names if re.fullmatch(pattern, name))


def _indexed(index: Path, names: Collection[str]) -> list[str]:
    try:
        named = sorted(set(read_object(index)["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        raise ValueError(f"{index.name}: not an index of safetensors files") from error
    if not named:
        raise ValueError(f"{index.name}: not an index of safetensors files: it names none")
    for name in named:
        if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
            raise ValueError(f"{index.name}: names {name!r}, which is not a safetensors file of this folder")
        if name not in names:
            raise FileNotFoundError(f"{name}: named in the index, but missing")
    single = index.name.removesuffix(".index.json")
    if single in names and single not in named:
        raise ValueError(
            f"{single} lies beside {index.name}, which names other files ({', '.join(named[:2])}); programs "
            "differ in which of them they read: take away those that are not meant"
        )
    return named


def open_weights(file: WeightFile | Path) -> RangedFile:
    """A safetensors file, of which slices can be read; ValueError if it is none."""
    name = str(file) if isinstance(file, Path) else file.name
    try:
        return RangedFile(LocalFile(file) if isinstance(file, Path) else file)
    except (SafetensorError, OSError) as error:
        raise ValueError(f"{name}: not a safetensors file: {error}") from error
