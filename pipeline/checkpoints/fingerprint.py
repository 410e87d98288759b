"""What a checkpoint is: a hash over its configuration and samples of its weights."""

import hashlib
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path

import orjson

from model.checkpoint.safetensors_files import CONFIG_FILES, open_weights, weight_names
from pipeline.errors import ConfigError

BLOCK = 64 << 10


def checkpoint_fingerprint(folder: str | Path) -> str:
    """SHA-256 over the configs and, of each weight file, the size, the header and samples of every tensor.

    Files that no run reads, such as a second variant of the weights, don't count.

    A sample is 64 KiB; each tensor gives three: from its start, its middle and its end. A tensor that stacks
    the matrices of all experts gives three of each. So hundreds of gigabytes take a moment.

    Noticed is each change of a config, of the names, types, shapes and places of tensors, of any byte in a
    tensor or matrix of at most 192 KiB, and in the samples of larger ones: so training, even of one tensor, a
    merge, another number type, added tokens. Not noticed is a change that leaves all samples as they are: of
    some rows of an embedding, of single weights, a bit that the disk flipped.
    """
    folder = Path(folder)
    weights = weight_names(folder)
    digest = hashlib.sha256()
    for name in sorted([*weights, *(name for name in CONFIG_FILES if (folder / name).is_file())]):
        if name in CONFIG_FILES:
            content = (folder / name).read_bytes()
            digest.update(f"{name}|{len(content)}|".encode() + content)
        else:
            digest.update(f"{name}|{(folder / name).stat().st_size}|".encode())
            for sample in _samples(folder / name):
                digest.update(sample)
    return digest.hexdigest()


def _samples(weights: Path) -> Iterator[bytes]:
    """The header of a safetensors file, then the samples of each of its tensors."""
    try:
        open_weights(weights)  # it checks that the header is sound and that the tensors fill the file
    except ValueError as error:
        raise ConfigError(f"model.path: {error}; fetch it again, it may be cut short") from error
    with open(weights, "rb") as file:
        length = file.read(8)
        header = file.read(int.from_bytes(length, "little"))
        yield length + header
        tensors = [value for name, value in orjson.loads(header).items() if name != "__metadata__"]
        for tensor in sorted(tensors, key=itemgetter("data_offsets")):
            first, end = tensor["data_offsets"]
            for begin, size in _blocks(first, end, tensor["shape"]):
                file.seek(8 + len(header) + begin)
                yield file.read(size)


def _blocks(begin: int, end: int, shape: list[int]) -> Iterator[tuple[int, int]]:
    """(first byte, size) of each sample of a tensor that lies in these bytes.

    A tensor of three dimensions stacks matrices, and each matrix is sampled.
    """
    matrices = shape[0] if len(shape) == 3 else 1
    step = (end - begin) // max(1, matrices)
    size = min(step, BLOCK)
    for first in range(begin, begin + matrices * step, max(1, step)):
        for start in sorted({first, first + (step - size) // 2, first + step - size}):
            yield start, size
