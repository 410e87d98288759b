"""Pickled weights (*.bin, *.pt, *.pth), which are opened only where somebody asks for it by name.

torch reads them with `weights_only`: tensors and plain containers, no code. They are mapped, not read: a
slice comes from the disk when it is asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from model.checkpoint.mistral_names import MistralFile
from model.checkpoint.tensor_files import Slices, TensorFile
from model.config import ModelConfig

# The first kind of which there is a file is read: HF's, then Mistral's releases.
_KINDS = (r"pytorch_model(-\d+-of-\d+)?\.bin", r"consolidated\.\d+\.pth", r"consolidated\.\d+\.pt")
# Not in HF's format, in which base models have layers.0.self_attn and so on.
_OF_MISTRAL = re.compile(
    r"tok_embeddings\.|output\.|layers\.\d+\.(attention|ffn_norm|feed_forward|block_sparse_moe\.w[123]$)"
)
_DTYPES = {torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16"}


def pickled_names(folder: Path) -> list[str]:
    """The names of a folder's pickled weights; FileNotFoundError if it has none."""
    names = sorted(entry.name for entry in folder.iterdir())
    for kind in _KINDS:
        if found := [name for name in names if re.fullmatch(kind, name)]:
            return found
    raise FileNotFoundError(
        f"{folder}: no pickled weights (pytorch_model*.bin, consolidated.*.pth or consolidated.*.pt)"
    )


def open_pickle(path: Path, config: ModelConfig) -> TensorFile:
    """The tensors of a pickle, under HF's names; ValueError if it is none that can be read safely."""
    file = PickledFile(path)
    names = file.keys()
    return MistralFile(file, config) if any(_OF_MISTRAL.match(name) for name in names) else file


class PickledFile:
    def __init__(self, path: Path) -> None:
        try:
            tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
        except Exception as error:  # whatever the bytes made torch raise, the file is not one to read
            what = str(error).strip().partition("\n")[0][:200] or type(error).__name__
            raise ValueError(f"{path}: cannot be read without running code, or is damaged: {what}") from error
        if not isinstance(tensors, Mapping) or not all(
            isinstance(name, str) and isinstance(value, Tensor) for name, value in tensors.items()
        ):
            raise ValueError(f"{path}: must hold tensors by their names and nothing else")
        self._tensors: Mapping[str, Tensor] = tensors

    def keys(self) -> list[str]:
        return [*self._tensors]

    def get_slice(self, name: str) -> "_Mapped":
        return _Mapped(self._tensors[name])

    def get_tensor(self, name: str) -> Tensor:
        return self._tensors[name]


@dataclass
class _Mapped:
    tensor: Tensor

    def get_shape(self) -> list[int]:
        return [*self.tensor.shape]

    def get_dtype(self) -> str:
        return _DTYPES.get(self.tensor.dtype, str(self.tensor.dtype))

    def __getitem__(self, slices: Slices) -> Tensor:
        return self.tensor[slices]
