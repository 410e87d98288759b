"""A weight that is stored in several parts and read as one matrix of numbers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from model.checkpoint.quantized.kept import Kept
from model.checkpoint.tensor_files import Slices, StoredTensor

SIXTEEN_BITS = ("F16", "BF16", "F32")  # of scales: in 16 bits, or more


class Quantized(Protocol):
    """What a format reads: see `model.linear.grid` and `model.linear.codebook`."""

    def numbers(self) -> Tensor: ...


@dataclass(frozen=True)
class Numbers:
    """A weight that is not quantized."""

    plain: Tensor

    def numbers(self) -> Tensor:
        return self.plain


@dataclass(frozen=True)
class QuantizedWeight:
    """A StoredTensor in float32. Each read takes the whole of it from the disk."""

    shape: tuple[int, ...]
    read: Callable[[], Quantized]
    kept: Kept | None = None  # how it lies in memory, where weights stay as they are stored; None: as numbers

    def get_shape(self) -> list[int]:
        return [*self.shape]

    def get_dtype(self) -> str:
        return "F32"

    def __getitem__(self, slices: Slices) -> Tensor:
        return self.read().numbers()[slices]


class Parts:
    """The stored tensors of one weight, by what they are to it, with their own names for messages.

    `parts[part][:]` reads one; `[()]` also one that may be a single number without an axis.
    """

    def __init__(self, module: str, stored: Mapping[str, tuple[str, StoredTensor]]) -> None:
        self.module = module
        self._stored = stored

    def __contains__(self, part: str) -> bool:
        return part in self._stored

    def __getitem__(self, part: str) -> StoredTensor:
        return self._stored[part][1]

    def name(self, part: str) -> str:
        return self._stored[part][0]

    def named(self) -> set[str]:
        return {*self._stored}
