"""What every file of tensors can do: name them, and read a slice of one. Formats wrap one another so.

A safetensors file that `safe_open` gives is one as it is.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

from torch import Tensor

Slices = slice | tuple[slice, ...]


class StoredTensor(Protocol):
    """A tensor that is not read yet."""

    def get_shape(self) -> list[int]: ...

    def get_dtype(self) -> str:
        """As safetensors calls it: F32, BF16, ..."""
        ...

    def __getitem__(self, slices: Slices) -> Tensor: ...


class TensorFile(Protocol):
    def keys(self) -> Iterable[str]: ...

    def get_slice(self, name: str) -> StoredTensor: ...

    def get_tensor(self, name: str) -> Tensor: ...


def bounds(slices: Slices, shape: Sequence[int]) -> list[slice]:
    """One slice with a first and a last index for each dimension."""
    given = slices if isinstance(slices, tuple) else (slices,)
    whole = [*given, *[slice(None)] * (len(shape) - len(given))]
    return [slice(*one.indices(size)[:2]) for one, size in zip(whole, shape, strict=True)]
