"""A safetensors file whose tensors are read by ranges of bytes, into memory that is there already.

The format (github.com/huggingface/safetensors): 8 bytes with the header's length n, n bytes of JSON that give
each tensor's dtype, shape and place behind the header, then the tensors. `safe_open` maps a file and copies
page by page as it faults; reads of a range go past that, and several threads may make them at once.

R rows of C columns are what a tensor is cut into, whatever its shape: see `RangedTensor.rows`.
"""

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from model.checkpoint.tensor_files import Slices, bounds
from model.checkpoint.weight_folder import WeightFile

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip
_LONGEST_HEADER = 100_000_000  # bytes; safetensors reads no longer one


@dataclass(frozen=True)
class RangedTensor:
    """A StoredTensor."""

    source: WeightFile
    dtype: str
    shape: tuple[int, ...]
    start: int  # its first byte's place in the file

    def get_shape(self) -> list[int]:
        return [*self.shape]

    def get_dtype(self) -> str:
        return self.dtype

    def __getitem__(self, slices: Slices) -> Tensor:
        """A part of it, in memory of its own."""
        wanted = bounds(slices, self.shape)
        part = torch.empty([max(0, one.stop - one.start) for one in wanted], dtype=DTYPES[self.dtype])
        if part.numel():
            rows = self.rows(wanted)
            rows.read_into(as_rows(part, rows), 0, rows.count)
        return part

    def rows(self, wanted: list[slice]) -> "Rows":
        """The part as rows of the file: the first axis of which more than one index is wanted counts them."""
        axis = next((k for k, one in enumerate(wanted) if one.stop - one.start != 1), len(wanted) - 1)
        row_shape = self.shape[axis + 1 :]
        first = 0
        for one, size in zip(wanted[: axis + 1], self.shape, strict=False):
            first = first * size + one.start
        count = wanted[axis].stop - wanted[axis].start if wanted else 1
        return Rows(self, first, count, row_shape, tuple(wanted[axis + 1 :]))


@dataclass(frozen=True)
class Rows:
    """[R, C] of a stored tensor: `count` rows of a shape, of which some columns are wanted."""

    stored: RangedTensor
    first: int
    count: int
    shape: tuple[int, ...]
    columns: tuple[slice, ...]

    @property
    def row_bytes(self) -> int:
        return prod(self.shape) * DTYPES[self.stored.dtype].itemsize

    def read_into(self, target: Tensor, begin: int, end: int, buffer: Tensor | None = None) -> None:
        """Fill the target [end - begin, *columns] from these rows, of any dtype and on any device.

        `buffer`: bytes to read by, where they don't go into the target as they are.
        """
        dtype = DTYPES[self.stored.dtype]
        start = self.stored.start + (self.first + begin) * self.row_bytes
        size = (end - begin) * self.row_bytes
        whole = all(one == slice(0, length) for one, length in zip(self.columns, self.shape, strict=True))
        if whole and target.dtype == dtype and target.device.type == "cpu" and target.is_contiguous():
            self.stored.source.read_into(_memory(target), start)
            return
        if buffer is None or buffer.numel() < size:
            buffer = torch.empty(size, dtype=torch.uint8)
        self.stored.source.read_into(_memory(buffer[:size]), start)
        rows = buffer[:size].view(dtype).view(end - begin, *self.shape)
        target.copy_(rows[(slice(None), *self.columns)])


class RangedFile:
    """A TensorFile, and a context that closes it. SafetensorError or OSError if it is none."""

    def __init__(self, file: WeightFile) -> None:
        self._file = file
        self.header = _header(file)  # with the 8 bytes of its length
        self._tensors: dict[str, RangedTensor] = {}
        for name, entry in json.loads(self.header[8:]).items():
            if name != "__metadata__":
                place = len(self.header) + entry["data_offsets"][0]
                self._tensors[name] = RangedTensor(file, entry["dtype"], tuple(entry["shape"]), place)

    def __enter__(self) -> "RangedFile":
        return self

    def __exit__(self, *_: Any) -> None:
        self._file.close()

    def keys(self) -> Iterable[str]:
        return [*self._tensors]

    def get_slice(self, name: str) -> RangedTensor:
        return self._tensors[name]

    def get_tensor(self, name: str) -> Tensor:
        return self._tensors[name][()]


def _header(file: WeightFile) -> bytes:
    """The file's first bytes, after safetensors' own check of them, and that the tensors fill the file.

    It reads files of a disk, so it is given one in memory of that header and that size, which has holes where
    the tensors are.
    """
    length = bytearray(min(8, file.size))
    file.read_into(memoryview(length), 0)
    rest = int.from_bytes(length, "little")
    header = bytearray(rest if rest <= min(_LONGEST_HEADER, file.size - len(length)) else 0)
    file.read_into(memoryview(header), len(length))
    descriptor = os.memfd_create("header")
    try:
        os.write(descriptor, length + header)
        os.ftruncate(descriptor, file.size)
        with safe_open(f"/proc/self/fd/{descriptor}", framework="np"):
            pass
    finally:
        os.close(descriptor)
    return bytes(length + header)


def as_rows(part: Tensor, rows: Rows) -> Tensor:
    """The same memory with the shape [R, *columns]: axes of one index before the rows are gone."""
    return part.view(rows.count, *[one.stop - one.start for one in rows.columns])


def _memory(tensor: Tensor) -> memoryview:
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data
