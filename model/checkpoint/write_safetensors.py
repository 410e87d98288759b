"""A safetensors file written tensor by tensor: no more than one of them is in memory.

The format: https://huggingface.co/docs/safetensors. Eight bytes with the header's length, the header in JSON,
and the numbers, one tensor behind another.
"""

import hashlib
import json
import math
import os
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

_BYTES = {"F32": 4, "BF16": 2, "F16": 2, "U8": 1, "I32": 4, "I64": 8}
_ALIGNED = 8  # bytes: where the numbers may begin


@dataclass(frozen=True)
class Planned:
    """A tensor to be written, and how it is read."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    read: Callable[[], Tensor]

    @property
    def size(self) -> int:
        return math.prod(self.shape) * _BYTES[self.dtype]


def write_safetensors(
    file: Path, tensors: Sequence[Planned], written: Callable[[int], None] = lambda size: None
) -> str:
    """Write the tensors; `file` is there once it is whole and on the disk. `written` is told the bytes.

    Returns: the SHA-256 of what was written, in hexadecimal digits.
    """
    part = file.with_name(f"{file.name}.part")
    digest = hashlib.sha256()
    with open(part, "wb") as out:
        header = _header(tensors)
        digest.update(header)
        out.write(header)
        for tensor in tensors:
            numbers = tensor.read().contiguous()
            assert numbers.nbytes == tensor.size, tensor.name
            content = numbers.view(-1).view(torch.uint8).numpy()
            digest.update(content.data)
            content.tofile(out)
            written(tensor.size)
        out.flush()
        os.fsync(out.fileno())
    part.replace(file)
    return digest.hexdigest()


def file_size(tensors: Sequence[Planned]) -> int:
    """Of the file that holds them."""
    return len(_header(tensors)) + sum(tensor.size for tensor in tensors)


def _header(tensors: Sequence[Planned]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}  # transformers asks for it
    end = 0
    for tensor in tensors:
        begin, end = end, end + tensor.size
        entries[tensor.name] = {"dtype": tensor.dtype, "shape": [*tensor.shape], "data_offsets": [begin, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNED)
    return struct.pack("<Q", len(header)) + header
