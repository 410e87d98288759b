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
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import safe_open
from torch import Tensor

from model.checkpoint.tensor_files import Slices, bounds

DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2, "I64": torch.int64, "I32": torch.int32,
    "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


class Bytes(Protocol):
    """Where bytes come from; several threads may read at once."""

    def read_into(self, buffer: memoryview, start: int) -> None:
        """Fill the buffer with the bytes from `start` on; OSError if they end before."""
        ...


class FileBytes:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = open(path, "rb", buffering=0)  # noqa: SIM115

    def read_into(self, buffer: memoryview, start: int) -> None:
        while len(buffer):
            count = os.preadv(self._file.fileno(), [buffer], start)
            if not count:
                raise OSError(f"{self._path}: ends at byte {start}, before the tensors that its header names")
            buffer, start = buffer[count:], start + count

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class RangedTensor:
    """A StoredTensor."""

    source: Bytes
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

    def __init__(self, path: Path) -> None:
        # It checks the header, and that the tensors fill the file. For torch ("pt") it would map the file as
        # memory that may be written, which the kernel refuses of files larger than what a machine has.
        with safe_open(path, framework="np"):
            pass
        self._bytes = FileBytes(path)
        length = bytearray(8)
        self._bytes.read_into(memoryview(length), 0)
        begin = 8 + int.from_bytes(length, "little")
        header = bytearray(begin - 8)
        self._bytes.read_into(memoryview(header), 8)
        self._tensors: dict[str, RangedTensor] = {}
        for name, entry in json.loads(header).items():
            if name != "__metadata__":
                place = begin + entry["data_offsets"][0]
                self._tensors[name] = RangedTensor(self._bytes, entry["dtype"], tuple(entry["shape"]), place)

    def __enter__(self) -> "RangedFile":
        return self

    def __exit__(self, *_: Any) -> None:
        self._bytes.close()

    def keys(self) -> Iterable[str]:
        return [*self._tensors]

    def get_slice(self, name: str) -> RangedTensor:
        return self._tensors[name]

    def get_tensor(self, name: str) -> Tensor:
        return self._tensors[name][()]


def as_rows(part: Tensor, rows: Rows) -> Tensor:
    """The same memory with the shape [R, *columns]: axes of one index before the rows are gone."""
    return part.view(rows.count, *[one.stop - one.start for one in rows.columns])


def _memory(tensor: Tensor) -> memoryview:
    return tensor.detach().reshape(-1).view(torch.uint8).numpy().data
